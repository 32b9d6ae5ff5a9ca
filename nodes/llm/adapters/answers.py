"""What a chat-completions endpoint says, read leniently: each part of a chunk is judged by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
from langchain_core.messages.ai import UsageMetadata

from core.foreign import clean_text
from nodes.llm.adapters.sse import Event, EventReader, EventTooLong
from nodes.llm.pieces import CALL_FIELDS, FIELDS, REASONING, Piece
from nodes.llm.profiles import Profile

# Such a call is read number by number as it is written: orjson rounds integers of more than 64 bits.
_WHOLE_ARGUMENTS = re.compile(rb'"arguments"[ \t]{0,8}:[ \t]{0,8}[\[{]')
# Most pieces are a token and say nothing else.
_TOKEN = frozenset({"content", "role"})
_COUNTING = frozenset({"usage", "x_groq"})
# What may stand around it and says nothing to us: another field may be an error.
_WRAPPING = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
)
_CHOSEN = frozenset({"index", "delta", "finish_reason", "logprobs"})
_SPOKEN = ("text", "output_text", "refusal")
_THOUGHT = ("thinking", "reasoning", "reasoning_content", "summary_text")
_COUNTED = {
    "input_tokens": ("prompt_tokens", "input_tokens"),
    "output_tokens": ("completion_tokens", "output_tokens"),
}


class NoAnswer(ValueError):
    """What came is not an answer of a chat-completions endpoint; the text says what it is."""


class EndpointError(Exception):
    """The endpoint reports an error in place of an answer, or in the middle of one."""

    def __init__(self, body: Any) -> None:
        super().__init__("the endpoint reports an error")
        self.body = body


class AnswerReader:
    """Turns the JSON of a stream, or a whole body, into pieces.

    Attributes:
        finish: Why the answer ended, in the endpoint's word; "" while it has not said so.
        done: It has said `[DONE]`.
        spoken: Something that a reader can see has come.
        complete: A whole message has come, and no piece of one.
    """

    def __init__(self, profile: Profile) -> None:
        self._fields = kept_fields(profile)
        self._call_fields = profile.call_fields
        self.spoken = False
        self.complete = False
        self._usage: UsageMetadata | None = None
        self._model = ""
        self.finish = ""
        self.done = False

    def read(self, data: bytes, *, name: str = "") -> Iterator[Piece]:
        """The pieces of one event.

        Raises:
            EndpointError: It is, or holds, an error.
            NoAnswer: It is no JSON, and looks as if it should be.
        """
        if text := self._token(data, name):
            yield Piece(text)
            return
        data = data.strip()
        if data.strip(b'"') == b"[DONE]":
            self.done = True
            return
        if data[:1] not in (b"{", b"["):
            if data[:1] == b"<":
                raise NoAnswer("a web page")
            return  # words between events, such as "ping": a sign of life
        for found in _values(data):
            for item in found if isinstance(found, list) else [found]:
                if isinstance(item, dict):
                    yield from self._item(item, name)

    def _token(self, data: bytes, name: str) -> str:
        """The text of an event that says a token and nothing else, as most do; "" for every other one.

        Nothing is decided here: what is not just so is read in all its forms.
        """
        # The first event also says which model answers.
        if not (self.spoken and self._model and name != "error") or b'"tool_calls"' in data:
            return ""
        try:
            item = orjson.loads(data)
            (choice,) = item["choices"]
            text = choice["delta"]["content"]
        except (ValueError, KeyError, TypeError):
            return ""
        return text if text.__class__ is str and _is_plain(item, choice) else ""

    def _item(self, item: Mapping[str, Any], name: str) -> Iterator[Piece]:
        if (error := _error_in(item, name)) is not None:
            raise EndpointError(error)
        if not self._model and isinstance(item.get("model"), str):
            self._model = clean_text(item["model"][:200])
        self._count(item)
        choice = _choice(item.get("choices"))
        if choice is None:
            return
        self._count(choice)
        if not self.finish and choice.get("finish_reason"):
            self.finish = clean_text(str(choice["finish_reason"])[:60])
        delta = self._delta(choice)
        if delta:
            yield from self._pieces(delta)

    def last(self) -> Piece:
        """The piece that says why the answer ended, and what it used."""
        metadata = {"finish_reason": self.finish or "stop", "model_name": self._model}
        return Piece(metadata=metadata, usage=self._usage)

    def _delta(self, choice: Mapping[str, Any]) -> Mapping[str, Any]:
        delta = choice.get("delta")
        if isinstance(delta, dict) and delta:
            return delta
        # A whole message is an answer that is not streamed; behind a streamed one it repeats it.
        message = choice.get("message")
        if isinstance(message, dict) and not self.spoken:
            self.complete = True
            return message
        return {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}

    def _pieces(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        content = delta.get("content")
        if content and isinstance(content, str) and delta.keys() <= _TOKEN:
            self.spoken = True
            yield Piece(content)
            return
        text, thought = texts(content)
        if not text and isinstance(delta.get("refusal"), str):
            text = delta["refusal"]
        thought = thought or reasoning_in(delta)
        calls = [self._call(found) for found in _calls(delta)]
        more: dict[str, Any] = {REASONING: thought} if thought else {}
        if fields := fields_in(delta, self._fields):
            more[FIELDS] = fields
        if text or calls or more:
            self.spoken = True
            yield Piece(text, calls=calls, more=more)

    def _call(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        function = found.get("function")
        named = function if isinstance(function, dict) else found
        index, call_id, name = _place(found.get("index")), found.get("id"), named.get("name")
        fields = {key: found[key] for key in self._call_fields if found.get(key) is not None}
        return {
            "name": name if isinstance(name, str) else "",
            "args": _arguments(named.get("arguments")),
            "id": str(call_id) if isinstance(call_id, (str, int)) else "",
            "index": index,
            **({CALL_FIELDS: fields} if fields else {}),
        }

    def _count(self, item: Mapping[str, Any]) -> None:
        """Usage that is told again tells the whole again, or the part that was missing: the larger counts."""
        for holder in (item, item.get("x_groq")) if not _COUNTING.isdisjoint(item) else ():
            usage = holder.get("usage") if isinstance(holder, dict) else None
            if isinstance(usage, dict):
                old = self._usage
                read = max(_number(usage, "input_tokens"), old["input_tokens"] if old else 0)
                written = max(_number(usage, "output_tokens"), old["output_tokens"] if old else 0)
                self._usage = UsageMetadata(
                    input_tokens=read, output_tokens=written, total_tokens=read + written
                )


def _is_plain(item: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
    """Whether all that an event says is the content of its one choice."""
    if not (item.keys() <= _WRAPPING and choice.keys() <= _CHOSEN and choice["delta"].keys() <= _TOKEN):
        return False
    more = item.get("usage") or choice.get("finish_reason") or choice.get("index")
    return not more and item.get("object") != "error"


def parsed(data: bytes) -> Any:
    """JSON; also with what orjson refuses: NaN, and halves of surrogate pairs, whose others may follow.

    Raises:
        NoAnswer: It is none.
    """
    # Looked for first by its name: most pieces are a token, and the expression takes longer than their JSON.
    if b'"arguments"' in data and _WHOLE_ARGUMENTS.search(data):
        with suppress(ValueError, RecursionError):
            return json.loads(data)
    try:
        return orjson.loads(data)
    except ValueError:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise NoAnswer("what is no JSON") from None


def _values(data: bytes) -> list[Any]:
    """One JSON value; or several, a line each."""
    try:
        return [parsed(data)]
    except NoAnswer:
        # A body of bare lines may still end as a stream does.
        lines = [line.strip().removeprefix(b"data:").strip() for line in data.splitlines()]
        found = [line for line in lines if line[:1] in (b"{", b"[") and line != b"[DONE]"]
        if len(lines) < 2 or not found:
            raise
        return [parsed(line) for line in found]


def _error_in(item: Mapping[str, Any], name: str) -> Any:
    """The error that an item is or holds; None where there is none."""
    if item.get("error"):
        return item["error"]
    if name == "error" or item.get("object") == "error" or item.get("type") == "error":
        return item
    bare = "choices" not in item and ("message" in item or "detail" in item)
    return item if bare else None


def _choice(choices: Any) -> Mapping[str, Any] | None:
    """The choice that we asked for: the first, whatever its index is missing."""
    found = choices if isinstance(choices, list) else [choices]
    for choice in found:
        if isinstance(choice, dict) and not _place(choice.get("index")):
            return choice
    return None


def _place(index: Any) -> int | None:
    """A number in a list, also where it is written as text; None where there is none."""
    if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 10:
        return int(index)
    return int(index) if isinstance(index, (int, float)) and 0 <= index < 2**31 else None


def texts(content: Any) -> tuple[str, str]:
    """Text and reasoning of a content: a text, or a list of parts."""
    if isinstance(content, str):
        return content, ""
    parts = [content] if isinstance(content, dict) else content
    text, thought = list[str](), list[str]()
    for part in parts if isinstance(parts, list) else ():
        kind, shown = _part(part)
        if kind in _THOUGHT:
            thought.append(shown)
        elif kind in _SPOKEN:
            text.append(shown)
    return "".join(text), "".join(thought)


def _part(part: Any) -> tuple[str, str]:
    """The kind of a part, and its text; some put it under the name of the kind."""
    if isinstance(part, str):
        return "text", part
    kind = str(part.get("type") or "text") if isinstance(part, dict) else ""
    return kind, (_plain(part.get("text")) or _plain(part.get(kind))) if kind else ""


def _plain(value: Any) -> str:
    """The text of a value that is one, or a list of parts with text."""
    if isinstance(value, str):
        return value
    parts = [part.get("text") for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    return "".join(part for part in parts if isinstance(part, str))


def kept_fields(profile: Profile) -> tuple[str, ...]:
    """Names of the fields of an answer that its endpoint may want back."""
    return profile.answer_fields if profile.answer_fields_back != "never" else ()


def fields_in(delta: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a delta that go back as they came."""
    return {name: delta[name] for name in names if delta.get(name) not in (None, "", [])}


def reasoning_in(delta: Mapping[str, Any]) -> str:
    """Reasoning for a reader. Some say it under two names at once, and mean it once."""
    for name in ("reasoning_content", "reasoning", "reasoning_text", "thinking"):
        value = delta.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict) and (found := _plain(value.get("content")) or _plain(value.get("text"))):
            return found
    details = delta.get("reasoning_details")
    if not isinstance(details, list):
        return ""
    parts = [detail for detail in details if isinstance(detail, dict)]
    return "".join(_plain(part.get("text")) or _plain(part.get("summary")) for part in parts)


def _calls(delta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = delta.get("tool_calls")
    if isinstance(found, dict):
        found = [found]
    if isinstance(found, list):
        return [call for call in found if isinstance(call, dict)]
    old = delta.get("function_call")
    return [{"index": 0, "function": old}] if isinstance(old, dict) else []


def _arguments(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except RecursionError:
        return "(an object that nests too deep)"


def _number(usage: Mapping[str, Any], name: str) -> int:
    for key in _COUNTED[name]:
        value = usage.get(key)
        if isinstance(value, (int, float)) and 0 <= value < 2**53:
            return int(value)
    return 0


MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of a whole answer on the wire."""


class Reading:
    """Reads one answer.

    Raises:
        EndpointError, NoAnswer, EventTooLong: From `feed` and `end`, as its parts say.
    """

    def __init__(self, profile: Profile) -> None:
        self._events = EventReader()
        self._answer = AnswerReader(profile)
        self._size = 0

    @property
    def done(self) -> bool:
        """The endpoint has said that this is all."""
        return self._answer.done

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that are complete with `chunk`."""
        self._size += len(chunk)
        if self._size > MAX_ANSWER:
            raise EventTooLong(f"an answer of more than {MAX_ANSWER} bytes")
        yield from self._read(self._events.feed(chunk))

    def end(self) -> Iterator[Piece]:
        """What was held back, and the piece with the reason to end, unless the answer was cut."""
        if not self.done:
            yield from self._read(self._events.end())
        answer = self._answer
        if answer.finish or answer.done or (self._events.whole and answer.complete):
            yield answer.last()

    def _read(self, events: Iterator[Event]) -> Iterator[Piece]:
        for event in events:
            yield from self._answer.read(event.data, name=event.name)
            if self.done:
                return  # what a server says behind its end is not part of the answer
