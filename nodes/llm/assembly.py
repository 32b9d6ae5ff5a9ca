"""Pieces of a stream become one message; no tool call gets lost on the way, and what is odd is mended."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata

from core.foreign import clean_text, storable
from nodes.llm.models import MALFORMED, LLMChunk, new_answer_id
from nodes.llm.pieces import (
    ENDPOINT,
    FIELDS,
    REASONING,
    Call,
    Calls,
    Chunk,
    arguments,
    as_name,
    finish_of,
    looks_unique,
    new_id,
)
from nodes.llm.profiles import Profile
from nodes.llm.stops import StopTexts

_TAGS = ("think", "thinking", "thought", "reasoning")
_OPEN = re.compile(rf"\s*<({'|'.join(_TAGS)})>")
# Blank text before a tag that is waited for; more is an answer of blanks.
_MOST_BLANK = 200
_LONGEST = max(map(len, _TAGS)) + 2


class ThinkSplit:
    """Tells reasoning from text while both come in pieces; a tag may be cut anywhere.

    Only a tag at the very start counts: a model may write about tags later on.
    Reasoning that is never closed stays reasoning.
    """

    def __init__(self) -> None:
        self._held = ""
        self._close = ""
        self._state = "start"

    def feed(self, text: str) -> tuple[str, str]:
        """The text and the reasoning that are sure by now."""
        if self._state == "text":
            return text, ""
        self._held += text
        if self._state == "start" and not self._opened():
            return self._passed()
        if self._state == "reasoning":
            return self._inside()
        return self._behind()

    def end(self) -> tuple[str, str]:
        """What was held back, now that nothing more comes."""
        held, self._held = self._held, ""
        if self._state == "behind":
            return "", ""
        return ("", held) if self._state == "reasoning" else (held, "")

    def _opened(self) -> bool:
        found = _OPEN.match(self._held)
        if not found:
            return False
        self._close = f"</{found.group(1)}>"
        self._held = self._held[found.end() :]
        self._state = "reasoning"
        return True

    def _passed(self) -> tuple[str, str]:
        """No tag so far: held back only while it may still become one."""
        begun = self._held.lstrip()
        blank = not begun and len(self._held) < _MOST_BLANK
        if blank or (begun and len(begun) < _LONGEST and any(f"<{tag}>".startswith(begun) for tag in _TAGS)):
            return "", ""
        text, self._held, self._state = self._held, "", "text"
        return text, ""

    def _inside(self) -> tuple[str, str]:
        thought, tag, rest = self._held.partition(self._close)
        if tag:
            self._held, self._state = rest, "behind"
            text, _ = self._behind()
            return text, thought
        # The end of what came may be the beginning of the tag.
        at = thought.rfind("<", -len(self._close) + 1)
        kept = thought[at:] if at >= 0 and self._close.startswith(thought[at:]) else ""
        self._held = kept
        return "", thought[: len(thought) - len(kept)]

    def _behind(self) -> tuple[str, str]:
        """Space between the reasoning and the answer belongs to neither."""
        text, self._held = self._held.lstrip(), ""
        if text:
            self._state = "text"
        return text, ""


_CUT_CALL = "(nothing: the answer reached its limit before the arguments)"


class Assembly:
    """Collects the pieces of one answer.

    Args:
        taken: Ids of earlier tool calls. Some endpoints count from zero in every
            answer, and two calls with one id cannot be told apart.
        offered: Names of the tools that the model may call.
        profile: What kind of endpoint answers: it says what is kept for it; None keeps nothing.
        of: Which endpoint and model that is: sealed fields mean nothing to another.
        think_tags: Reasoning may stand in the text, between tags.
        stop: Texts that end the answer. An endpoint that ends it there itself has nothing cut.
    """

    def __init__(
        self,
        taken: Iterable[str] = (),
        *,
        offered: Collection[str] = (),
        profile: Profile | None = None,
        of: str = "",
        think_tags: bool = False,
        message_id: str = "",
        stop: Sequence[str] = (),
    ) -> None:
        self._taken = set(taken)
        self._id = message_id or new_answer_id()
        self._profile = profile
        self._of = of
        self._text: list[str] = []
        self._half = {"text": "", "reasoning": ""}
        self._split = ThinkSplit() if think_tags else None
        self._stop = StopTexts(stop) if stop else None
        self._calls = Calls(offered)
        self._fields: dict[str, list[Any]] = {}
        self.usage: UsageMetadata | None = None
        self.finish = ""
        self.served = ""

    @property
    def text(self) -> str:
        return "".join(self._text)

    def add(self, chunk: Chunk) -> LLMChunk | None:
        """Take in a chunk; what a reader sees of it, or None."""
        text = chunk.content if isinstance(chunk.content, str) else str(getattr(chunk, "text", ""))
        more = chunk.additional_kwargs
        reasoning = str(more.get(REASONING) or "") if more else ""
        if more and (fields := more.get(FIELDS)):
            for name, value in fields.items():
                self._fields.setdefault(name, []).append(value)
        if chunk.tool_call_chunks and not (self._stop and self._stop.met):
            self._calls.add(list(chunk.tool_call_chunks))
        if chunk.usage_metadata:
            self.usage = chunk.usage_metadata
        if chunk.response_metadata:
            self.finish = finish_of(chunk.response_metadata.get("finish_reason")) or self.finish
            self.served = clean_text(str(chunk.response_metadata.get("model_name") or self.served)[:200])
        if not text and not reasoning:
            return None
        return self._seen(self._whole("text", text), self._whole("reasoning", reasoning))

    def end(self) -> LLMChunk | None:
        """Nothing more comes: what was held back until it was clear what it is."""
        split, self._split = self._split, None
        text, reasoning = split.end() if split else ("", "")
        stop = self._stop
        if stop is not None:
            text = stop.feed(text)
            self._stop = None
            text += stop.end()
            self.finish = "stop" if stop.met else self.finish
        return self._shown(text, reasoning)

    def message(self) -> AIMessage:
        """The whole answer, with an id of its own and a unique id on every tool call."""
        self.end()
        ids: dict[str, str] = {}
        calls: dict[str, Any] = {}
        found = [self._finished(call, ids, calls) for call in self._calls.found if call.said]
        back = {"of": self._of, "fields": self._kept(calls=bool(found)), "ids": ids, "calls": calls}
        kept = {key: value for key, value in back.items() if value}
        return AIMessage(
            content=self.text,
            tool_calls=found,
            id=self._id,
            usage_metadata=self.usage,
            response_metadata={"finish_reason": self.finish} if self.finish else {},
            additional_kwargs={ENDPOINT: storable(kept)} if len(kept) > 1 else {},
        )

    def _whole(self, kind: str, text: str) -> str:
        """The text in whole characters: half of a pair waits for the other half, in the next chunk."""
        if not text:
            return ""
        text = self._half[kind] + text
        half = "\ud800" <= text[-1] <= "\udbff"
        self._half[kind] = text[-1] if half else ""
        return clean_text(text[:-1] if half else text)

    def _seen(self, text: str, reasoning: str) -> LLMChunk | None:
        if self._split is not None and text:
            text, thought = self._split.feed(text)
            reasoning += thought
        return self._shown(text, reasoning)

    def _shown(self, text: str, reasoning: str) -> LLMChunk | None:
        if self._stop is not None:
            text = self._stop.feed(text)
        if text:
            self._text.append(text)
        return LLMChunk(text, reasoning) if text or reasoning else None

    def _kept(self, *, calls: bool) -> dict[str, Any]:
        """The fields that the endpoint may want back with this answer."""
        back = self._profile.answer_fields_back if self._profile else "never"
        if back == "never" or (back == "with_calls" and not calls):
            return {}
        return {name: merged(values) for name, values in self._fields.items()}

    def _finished(self, call: Call, ids: dict[str, str], calls: dict[str, Any]) -> ToolCall:
        keep = looks_unique(call.id) and call.id not in self._taken
        call_id = call.id if keep else new_id()
        if not keep and call.id and call.id not in self._taken:
            ids[call_id] = call.id
        self._taken |= {call_id, call.id}
        if call.fields:
            calls[call_id] = call.fields
        raw = "".join(call.args)
        cut = self.finish == "length" and not raw.strip()
        args = {MALFORMED: _CUT_CALL} if cut else arguments(raw)
        return ToolCall(name=as_name(call.name), args=args, id=call_id, type="tool_call")


def merged(values: list[Any]) -> Any:
    """A field that came in pieces, whole: text is joined, lists go on, of anything else the last counts."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if not all(isinstance(value, list) for value in values):
        return values[-1]
    runs: list[list[Any]] = []
    for item in (item for value in values for item in value):
        if runs and _goes_on(runs[-1][0], item):
            runs[-1].append(item)
        else:
            runs.append([item])
    return [_joined(run) for run in runs]


def _goes_on(known: Any, item: Any) -> bool:
    """Whether a part of a list is more of the one before: details of reasoning come token by token."""
    if not isinstance(known, dict) or not isinstance(item, dict) or "index" not in item:
        return False
    return all(known.get(key) == item.get(key) for key in ("index", "type"))


def _joined(run: list[Any]) -> Any:
    if len(run) == 1:
        return run[0]
    whole = {key: value for item in run for key, value in item.items() if value is not None}
    for key in ("text", "summary", "data", "thinking", "signature"):
        texts = [item[key] for item in run if isinstance(item.get(key), str)]
        if texts:
            whole[key] = "".join(texts)
    return whole
