"""`llm probe`: a handful of cheap questions to an endpoint, and which profile fits what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodes.llm.adapters.bodies import BARE
from nodes.llm.adapters.questions import PASSING, Answer, Questions
from nodes.llm.adapters.refusals import Refusal
from nodes.llm.profiles import REASONING_FIELDS
from nodes.llm.settings import ModelEntry

PLAIN = "Reply with the word OK and nothing else."
ONE = "Use the tool add to add 5 and 3."
SEVERAL = "Use the tool add twice at once: add 1 and 2, and add 3 and 4."
_SYSTEM = "You are brief."
# Enough for models that think before they call a tool.
_MOST_TOKENS = 400
_LONG_ID = "call-" + "0123456789abcdef" * 2
_NINE_ID = "aB3dE6gH9"
_NUMBER = {"type": "number"}
_ADD: dict[str, Any] = {"type": "object", "properties": {"a": _NUMBER, "b": _NUMBER}, "required": ["a", "b"]}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "array_items": {"type": "object", "properties": {"list": {"type": "array"}}},
    "top_combinator": {"type": "object", "properties": {"a": _NUMBER}, "anyOf": [{"required": ["a"]}]},
    "no_meta": {**_ADD, "$schema": "http://json-schema.org/draft-07/schema#"},
    "no_additional": {**_ADD, "additionalProperties": False},
    "no_unions": {"type": "object", "properties": {"a": {"type": ["number", "null"]}}},
}
"""Of each mend that a profile may ask for: a schema that needs it."""


@dataclass
class Seen:
    """What the endpoint did. None where a question was not reached, or got no clear answer.

    Args:
        stopped: Why it cannot be used at all.
        listed: Names of its models.
        limit_key: What it calls the limit of an answer.
        stream_options: Whether it takes them.
        usage: Whether a stream counts tokens.
        fields: Fields that its answers carried beside text and calls; `call_fields` those of calls.
        wanted: Those of them that must come back with an answer that has calls.
        takes_fields: Whether they may come back at all.
        padding: A field that every answer must carry.
        bare: What stands for the text of an answer with calls.
        long_ids: Whether ids of another form than its own are taken; `nine_ids` nine letters and digits.
        at_once: How many calls came when two were wanted at once.
        mends: Which schemas it refused.
        words: What it refused, in its own words, by question.
    """

    stopped: str = ""
    listed: list[dict[str, Any]] = field(default_factory=list)
    key_header: str = ""
    limit_key: str = "max_tokens"
    stream_options: bool | None = None
    streams: bool | None = None
    usage: bool | None = None
    first_s: float = 0.0
    temperature: bool | None = None
    system: bool | None = None
    calls: bool | None = None
    call_id: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    call_fields: set[str] = field(default_factory=set)
    tool_results: bool | None = None
    wanted: set[str] = field(default_factory=set)
    takes_fields: bool | None = None
    padding: str = ""
    bare: str = ""
    long_ids: bool | None = None
    nine_ids: bool | None = None
    two_users: bool | None = None
    empty_answers: bool | None = None
    at_once: int | None = None
    mends: dict[str, bool] = field(default_factory=dict)
    asides: set[str] = field(default_factory=set)
    comments: set[str] = field(default_factory=set)
    fingerprint: str = ""
    words: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    tokens: int = 0


class Probe:
    """Asks one question after the other; what was learned goes into the next."""

    def __init__(self, entry: ModelEntry, model_name: str, questions: Questions) -> None:
        self._entry = entry
        self._model = model_name
        self._questions = questions
        self._extra: dict[str, Any] = {}
        self.seen = Seen()

    async def run(self) -> Seen:
        """Everything that was seen; stops early where nothing more can be learned."""
        seen = self.seen
        await self._list()
        if not seen.stopped:
            await self._plain()
        if not seen.stopped:
            await self._stream()
        if not seen.stopped:
            await self._two_users()
            await self._empty_answer()
        if not seen.stopped and self._entry.supports_tools:
            await self._tools()
        seen.asked, seen.tokens = self._questions.asked, self._questions.tokens
        return seen

    async def _list(self) -> None:
        refusal, self.seen.listed = await self._questions.models()
        if refusal is None:
            return
        self._told("models", refusal)
        if not refusal.status:
            self.seen.stopped = refusal.message

    async def _plain(self) -> None:
        """Is the key taken, is the model there, and what is the limit of an answer called?"""
        answer = await self._say([_user(PLAIN)], stream=False)
        if answer.refusal and answer.refusal.status == 401 and not self.seen.key_header:
            await self._questions.use_key_header("api-key")
            self.seen.key_header = "api-key"
            answer = await self._say([_user(PLAIN)], stream=False)
        if answer.refusal and answer.refusal.not_taken({self.seen.limit_key}):
            self.seen.limit_key = "max_completion_tokens"
            answer = await self._say([_user(PLAIN)], stream=False)
        if answer.refusal:
            self._told("plain", answer.refusal)
            self.seen.stopped = _stop(answer.refusal)

    async def _stream(self) -> None:
        wanted: dict[str, Any] = {"stream_options": {"include_usage": True}, "temperature": 0.2}
        messages = [{"role": "system", "content": _SYSTEM}, _user(PLAIN)]
        answer = await self._say(messages, **wanted)
        while answer.refusal and (name := answer.refusal.not_taken(wanted)):
            self._told(name, answer.refusal)
            del wanted[name]
            answer = await self._say(messages, **wanted)
        if answer.refusal:
            self._told("system", answer.refusal)
            answer = await self._say(messages[1:], **wanted)
        seen = self.seen
        if answer.refusal:
            self._told("stream", answer.refusal)
            seen.stopped = _stop(answer.refusal)
            return
        self._extra = {key: value for key, value in wanted.items() if key == "stream_options"}
        seen.system = "system" not in seen.words
        seen.stream_options = "stream_options" in wanted
        seen.temperature = "temperature" in wanted
        seen.streams, seen.usage, seen.first_s = answer.streamed, bool(answer.usage), answer.first_s

    async def _two_users(self) -> None:
        answer = await self._say([_user("Hello."), _user(PLAIN)])
        self.seen.two_users = self._taken("two_users", answer)

    async def _empty_answer(self) -> None:
        history = [_user("Hello."), {"role": "assistant", "content": ""}, _user(PLAIN)]
        self.seen.empty_answers = self._taken("empty_answers", await self._say(history))

    async def _tools(self) -> None:
        answer = await self._say([_user(ONE)], tools=_offered(_ADD))
        seen = self.seen
        if not answer.ok:
            seen.calls = self._taken("calls", answer)
            return
        seen.calls = bool(answer.calls)
        if answer.calls:
            seen.call_id = answer.calls[0]["id"]
            seen.fields = answer.fields
            seen.call_fields = answer.calls[0].keys() - {"id", "type", "function"}
            await self._result(answer)
        await self._own_ids()
        at_once = await self._say([_user(SEVERAL)], tools=_offered(_ADD))
        seen.at_once = len(at_once.calls) if at_once.ok else None
        for mend, schema in _SCHEMAS.items():
            refused = await self._say([_user(PLAIN)], tools=_offered(schema))
            if (taken := self._taken(mend, refused)) is not None:
                seen.mends[mend] = not taken

    async def _result(self, answer: Answer) -> None:
        """In which form does the endpoint take its own call back, with the tool's result behind it?"""
        seen = self.seen
        extra = {*answer.fields, *seen.call_fields}
        for fields in [set[str](), *(found for found in (seen.call_fields, extra) if found)]:
            if await self._back(answer, fields):
                break
        else:
            await self._padded(answer)
        seen.tool_results = bool(seen.tool_results)
        if seen.tool_results and not seen.wanted and extra:
            again = await self._say(_with_result(answer, seen.bare, extra), tools=_offered(_ADD))
            seen.takes_fields = self._taken("takes_fields", again)

    async def _back(self, answer: Answer, fields: set[str], **more: Any) -> bool:
        seen = self.seen
        for bare in ("null", "empty", "absent"):
            got = await self._say(_with_result(answer, bare, fields, **more), tools=_offered(_ADD))
            if self._taken("tool_results", got):
                seen.tool_results, seen.bare, seen.wanted = True, bare, fields
                return True
        return False

    async def _padded(self, answer: Answer) -> None:
        """Some want a field of every answer, also where they said nothing in it."""
        said = self.seen.words.get("tool_results", "")
        for name in REASONING_FIELDS:
            if name in said and await self._back(answer, set(), **{name: ""}):
                self.seen.padding = name
                return

    async def _own_ids(self) -> None:
        """A conversation that the endpoint never had, with calls under ids of ours."""
        seen = self.seen
        long = await self._with_ids(_LONG_ID)
        if long.refusal and long.refusal.status in PASSING:
            return
        seen.long_ids = long.ok
        if seen.long_ids:
            return
        nine = await self._with_ids(_NINE_ID)
        seen.nine_ids = nine.ok
        if nine.refusal and await self._with_padding(nine.refusal):
            return
        if not seen.nine_ids:
            self._taken("ids", nine)

    async def _with_padding(self, refusal: Refusal) -> bool:
        for name in REASONING_FIELDS:
            if name in refusal.message and (await self._with_ids(_LONG_ID, **{name: ""})).ok:
                self.seen.padding, self.seen.long_ids = name, True
                return True
        return False

    async def _with_ids(self, call_id: str, **more: Any) -> Answer:
        call = {
            "id": call_id,
            "type": "function",
            "function": {"name": "add", "arguments": '{"a": 5, "b": 3}'},
        }
        bare = BARE[self.seen.bare or "null"]
        messages = [
            _user(ONE),
            {"role": "assistant", **bare, "tool_calls": [call], **more},
            {"role": "tool", "tool_call_id": call_id, "content": "8"},
            {"role": "assistant", "content": "It is 8.", **more},
            _user(PLAIN),
        ]
        return await self._say(messages, tools=_offered(_ADD))

    async def _say(
        self, messages: Sequence[Mapping[str, Any]], *, stream: bool = True, **more: Any
    ) -> Answer:
        body = {"model": self._model, "messages": list(messages), self.seen.limit_key: _MOST_TOKENS}
        answer = await self._questions.ask(body | ({"stream": True} | self._extra if stream else {}) | more)
        self.seen.asides |= answer.asides
        self.seen.comments |= answer.comments
        self.seen.fingerprint = answer.fingerprint or self.seen.fingerprint
        return answer

    def _taken(self, question: str, answer: Answer) -> bool | None:
        """Whether it took the question; None where it was away, or wanted no more questions."""
        if answer.refusal:
            self._told(question, answer.refusal)
            return None if answer.refusal.status in PASSING else False
        return True

    def _told(self, question: str, refusal: Refusal) -> None:
        self.seen.words.setdefault(question, " ".join(f"{refusal.status or ''} {refusal.message}".split()))


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _offered(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    function = {"name": "add", "description": "Add two numbers.", "parameters": dict(parameters)}
    return [{"type": "function", "function": function}]


def _with_result(answer: Answer, bare: str, fields: set[str], **more: Any) -> list[dict[str, Any]]:
    kept = {"id", "type", "function"} | fields
    calls = [{key: value for key, value in call.items() if key in kept} for call in answer.calls]
    said = {"content": answer.text} if answer.text else BARE[bare]
    back = {key: value for key, value in answer.fields.items() if key in fields}
    message = {"role": "assistant", **said, "tool_calls": calls, **back, **more}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "8"} for call in calls]
    return [_user(ONE), message, *results]


def _stop(refusal: Refusal) -> str:
    """Why nothing more can be asked."""
    if refusal.status in (401, 403):
        return f"our key is refused ({refusal.status}); check api_key"
    if refusal.status == 404:
        return "there is no such model, or the address is wrong (404); check model_name and model_url"
    if refusal.status == 429:
        return "requests are limited (429); try again later"
    if not refusal.status:
        return refusal.message
    return f"a plain question is refused ({refusal.status})"
