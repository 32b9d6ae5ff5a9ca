"""An answer as a chat completion: whole, or as chunks.

Every chunk has `id`, `object`, `created`, `model` and a choice with its `index`, the first one the
role; one has a finish_reason. Tools that the service runs are not told: clients would run them. Calls of the
client's own tools come whole, in the last delta but one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from core.foreign import as_bytes
from graph.errors import error_from
from graph.runs.events import LoggedEvent
from graph.runs.streams import WAITS, Handle
from server.conversations import waiting_text
from server.errors import problem
from server.protocols.openai.citations import annotated, nested
from server.protocols.openai.client_tools import as_tool_calls
from server.protocols.refusals import openai_body
from server.repeats import WithoutRepeats
from server.sse import RunResponse

DONE = b"data: [DONE]\n\n"
_TEXTS = {"token": "content", "reasoning": "reasoning_content"}


def completion(run: Handle, reply: Mapping[str, Any], *, model: str, cut: bool) -> dict[str, Any]:
    """The whole answer."""
    text = "\n\n".join(part for part in (reply["answer"], waiting_text(reply)) if part)
    calls = as_tool_calls(reply)
    message = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        **({"tool_calls": calls} if calls else {}),
        "refusal": None,
        "annotations": nested(annotated(text, reply["citations"])),
    }
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": _finish(cut=cut, calls=calls),
        "logprobs": None,
    }
    return {
        **_head(run, model, "chat.completion"),
        "choices": [choice],
        "usage": usage_of(reply),
        "waystation": beside(reply),
    }


async def was_cut(run: Handle) -> bool:
    """Whether the answer reached the model's limit, which a reply does not say; its events are read."""
    return any([event.get("code") == "answer_cut" async for event in run.events()])


def usage_of(reply: Mapping[str, Any]) -> dict[str, int]:
    """Tokens of all model calls of the turn."""
    used = reply["usage"]
    asked, said = used["input_tokens"], used["output_tokens"]
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def beside(reply: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAI's wire has no word for."""
    return {name: reply[name] for name in ("thread_id", "run_id", "status", "interrupts", "files")}


def _finish(*, cut: bool, calls: Sequence[Any]) -> str:
    return "tool_calls" if calls else "length" if cut else "stop"


def _head(run: Handle, model: str, kind: str) -> dict[str, Any]:
    return {"id": run.id, "object": kind, "created": int(run.record.created_at), "model": model}


class ChatStream(RunResponse):
    """The chunks of a run.

    Args:
        model: The id that the client asked for.
        with_usage: Send usage too, in a chunk of its own behind the last choice.
    """

    def __init__(self, run: Handle, *, model: str, with_usage: bool, stall: float) -> None:
        super().__init__(run, stall=stall)
        self._head = _head(run, model, "chat.completion.chunk")
        self._with_usage = with_usage
        self._begun = self._shown = self._cut = self._failed = False
        self._repeats = WithoutRepeats()
        # All but a delta, encoded once.
        line = orjson.dumps({**self._head, "choices": [{"index": 0, "delta": 0, "finish_reason": None}]})
        before, _, after = line.partition(b'"delta":0')
        self._before, self._after_delta = b"data: " + before + b'"delta":', after + b"\n\n"

    def encoded(self, found: Sequence[LoggedEvent]) -> Iterable[bytes]:
        for entry in found:
            if not self._begun:
                self._begun = True
                yield self._delta({"role": "assistant", "content": ""})
            if event := self._repeats.of(entry.event):
                yield from self._of(event)

    def ending(self) -> Iterable[bytes]:
        return [] if self._failed else [DONE]

    def _of(self, event: Mapping[str, Any]) -> Iterator[bytes]:
        kind = event["type"]
        if kind in _TEXTS:
            self._shown = self._shown or kind == "token"
            yield self._delta({_TEXTS[kind]: event["delta"]})
        elif kind == "notice":
            self._cut = self._cut or event["code"] == "answer_cut"
            if event["code"] == WAITS:
                yield self._beside(event)
        elif kind == "error":
            self._failed = True
            yield _line(failure(event))
        elif kind == "done":
            yield from self._last(event)

    def _beside(self, notice: Mapping[str, Any]) -> bytes:
        """A chunk that says nothing, and why: the wire has no word for it."""
        choice = {"index": 0, "delta": {}, "finish_reason": None}
        told = {"notice": {name: notice[name] for name in ("code", "detail")}}
        return _line({**self._head, "choices": [choice], "waystation": told})

    def _last(self, reply: Mapping[str, Any]) -> Iterator[bytes]:
        rest = unshown(reply, shown=self._shown)
        if rest:
            yield self._delta({"content": rest})
        if cited := annotated(reply["answer"], reply["citations"]):
            yield self._delta({"annotations": nested(cited)})
        calls = as_tool_calls(reply)
        if calls:
            yield self._delta({"tool_calls": [{"index": n, **call} for n, call in enumerate(calls)]})
        choice = {"index": 0, "delta": {}, "finish_reason": _finish(cut=self._cut, calls=calls)}
        yield _line({**self._head, "choices": [choice], "waystation": beside(reply)})
        if self._with_usage:
            yield _line({**self._head, "choices": [], "usage": usage_of(reply)})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return b"%b%b%b" % (self._before, as_bytes(delta), self._after_delta)


def unshown(reply: Mapping[str, Any], *, shown: bool) -> str:
    """What of a reply was not streamed: an answer that came whole, and what waits for a person."""
    parts = ["" if shown else str(reply["answer"]), waiting_text(reply)]
    text = "\n\n".join(part for part in parts if part)
    return f"\n\n{text}" if shown and text else text


def failure(event: Mapping[str, Any]) -> dict[str, Any]:
    """An `error` event as clients raise it."""
    return openai_body(problem(error_from(event)))


def _line(value: Mapping[str, Any]) -> bytes:
    return b"data: " + as_bytes(dict(value)) + b"\n\n"
