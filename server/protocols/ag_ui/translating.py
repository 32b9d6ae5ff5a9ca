"""A run's events as those of AG-UI: each thing opened once, and closed before the run is.

`@ag-ui/client` ends a run at the first event out of order: a start without its end, a step that is
open twice, anything behind the last one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from core.foreign import as_bytes, as_json
from core.steps import Part
from server.protocols.ag_ui.words import (
    GIVEN,
    OURS,
    SAID,
    VERSION,
    call_of,
    change,
    custom,
    event,
    interrupt,
    snapshot,
    tool_name,
    usage_of,
)
from server.repeats import WithoutRepeats

# The part of a turn that an event tells of. Files are kept within and behind the tools.
_PARTS: Mapping[str, Part] = {
    "config": "config",
    "documents": "passages",
    "token": "model",
    "reasoning": "model",
    "usage": "model",
    "tool_call": "tools",
    "tool_progress": "tools",
    "tool_result": "tools",
}
_TOLD_OTHERWISE = frozenset({"run_started", "answer", "step", "interrupt"})


class Translator:
    """Makes events of the wire of a run's own. Feed it every event of the run's part that it tells.

    Args:
        thread_id, run_id: The client's names.
        ours: What our state tells from the start.
        steps: Names of the steps, by their part of a turn.
        told: Ids of calls that the client was told of when they were asked about: told again, their
            arguments would stand there twice.
        names_calls: The end names the calls that the client has to make.
    """

    def __init__(
        self,
        thread_id: str,
        run_id: str,
        *,
        ours: Mapping[str, Any],
        state: Any,
        steps: Mapping[Part, str],
        told: Collection[str] = (),
        names_calls: bool = True,
    ) -> None:
        self._names_calls = names_calls
        self._names = {"threadId": thread_id, "runId": run_id}
        self._ours = dict(ours)
        self._state = state
        self._steps = steps
        self._told = set(told)
        self._id = str(ours["run_id"])
        self._step = ""
        # What is open: the kind of text, its message, and all but the words of its next piece.
        self._open, self._message = "", ""
        self._piece = b""
        # The message that calls belong to: the text before them, or one of their own.
        self._parent = ""
        self._used: list[Mapping[str, Any]] = []
        self._files: list[Any] = []
        self._shown = False
        self._repeats = WithoutRepeats()
        self.ended = False

    def begin(self) -> Iterator[bytes]:
        """The events before all others."""
        yield event("RUN_STARTED", **self._names, protocolVersion=VERSION)
        yield snapshot(self._state, **self._ours)

    def events(self, found: Mapping[str, Any]) -> Iterator[bytes]:
        """What the next event of the run is told as."""
        # Another attempt goes on in the message that the one before has opened.
        if event := self._repeats.of(found):
            yield from self._events(event)

    def _events(self, found: Mapping[str, Any]) -> Iterator[bytes]:
        kind = found["type"]
        if part := _PARTS.get(kind):
            yield from self._in_step(self._steps[part])
        handler = _HANDLERS.get(kind)
        if handler is not None:
            yield from handler(self, found)
        elif kind not in _TOLD_OTHERWISE:
            yield custom(found)

    def cut(self, code: str, message: str) -> Iterator[bytes]:
        """The end of a stream whose run goes on without it."""
        yield from self._failed({"code": code, "detail": message})

    # -- one kind of event each -------------------------------------------------------------------

    def _config(self, found: Mapping[str, Any]) -> Iterator[bytes]:
        yield change(**{name: found[name] for name in ("model", "tools", "sources")})
        yield from self._in_step(self._steps["passages"])

    def _text(self, found: Mapping[str, Any]) -> Iterator[bytes]:
        kind, said = found["type"], found[SAID]
        if self._open != kind:
            yield from self._close()
            yield from self._start(kind, f"{self._id}-{found['seq']}")
        self._shown = self._shown or kind == "token"
        yield self._piece + as_bytes(said) + b"}\n\n"

    def _called(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._close()
        yield from self._call(call, call["seq"])

    def _result(self, found: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._close()
        if found["status"] == "answered":
            self._parent = ""
            return  # the page's own, which has it in its conversation
        yield from self._call(found, found["seq"])
        self._parent = ""
        told = {name: found[name] for name in ("status", "duration_ms", "files") if name in found}
        yield event(
            "TOOL_CALL_RESULT",
            messageId=f"{self._id}-{found['seq']}",
            toolCallId=found["id"],
            content=str(found.get(GIVEN) or ""),
            role="tool",
            metadata={OURS: told},
        )

    def _file(self, found: Mapping[str, Any]) -> Iterator[bytes]:
        if self._step != self._steps["tools"]:
            yield from self._in_step(self._steps["files"])
        yield custom(found)
        self._files.append({name: found[name] for name in ("key", "name", "media_type", "size")})
        yield change(files=self._files)

    def _usage(self, found: Mapping[str, Any]) -> Iterator[bytes]:
        self._used.append(found)
        yield from ()

    def _done(self, reply: Mapping[str, Any]) -> Iterator[bytes]:
        if not self._shown and reply["answer"]:
            yield from self._text({"type": "token", "seq": reply["seq"], SAID: str(reply["answer"])})
        yield from self._close()
        waiting = reply.get("interrupts") or ()
        for question in waiting:
            if call := call_of(question):
                yield from self._call(call, reply["seq"])
        yield from self._in_step("")
        if reply["citations"]:
            yield event("CUSTOM", name="citations", value=reply["citations"])
        yield change(status=reply["status"], citations=reply["citations"], files=reply["files"])
        self.ended = True
        yield event("RUN_FINISHED", **self._names, outcome=self._outcome(reply), **self._usage_field())

    def _failed(self, error: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._close()
        yield from self._in_step("")
        yield change(status="failed")
        self.ended = True
        message = str(error.get("detail") or error.get("title") or "the run failed")
        yield event("RUN_ERROR", message=message, code=error["code"], **self._usage_field())

    # -- what is open ---------------------------------------------------------------------------------

    def _start(self, kind: str, message: str) -> Iterator[bytes]:
        self._open, self._message = kind, message
        if kind == "reasoning":
            yield event("REASONING_START", messageId=message)
            yield event("REASONING_MESSAGE_START", messageId=message, role="reasoning")
        else:
            self._parent = message
            yield event("TEXT_MESSAGE_START", messageId=message, role="assistant")
        name = b"REASONING_MESSAGE_CONTENT" if kind == "reasoning" else b"TEXT_MESSAGE_CONTENT"
        self._piece = b'data: {"type":"%b","messageId":"%b","delta":' % (name, message.encode())

    def _close(self) -> Iterator[bytes]:
        kind, self._open = self._open, ""
        if kind == "reasoning":
            yield event("REASONING_MESSAGE_END", messageId=self._message)
            yield event("REASONING_END", messageId=self._message)
        elif kind:
            yield event("TEXT_MESSAGE_END", messageId=self._message)

    def _call(self, call: Mapping[str, Any], seq: int) -> Iterator[bytes]:
        """A call with its arguments, once."""
        key = str(call["id"])
        if key in self._told:
            return
        self._told.add(key)
        self._parent = self._parent or f"{self._id}-{seq}-calls"
        yield event(
            "TOOL_CALL_START", toolCallId=key, toolCallName=tool_name(call), parentMessageId=self._parent
        )
        yield event("TOOL_CALL_ARGS", toolCallId=key, delta=as_json(call.get("arguments") or {}))
        yield event("TOOL_CALL_END", toolCallId=key)

    def _in_step(self, name: str) -> Iterator[bytes]:
        before, self._step = self._step, name
        if before == name:
            return
        if before:
            yield event("STEP_FINISHED", stepName=before)
        if name:
            yield event("STEP_STARTED", stepName=name)

    def _outcome(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        if reply["status"] == "cancelled":
            return {"type": "cancelled"}
        waiting = reply.get("interrupts") or ()
        if asked := [interrupt(one) for one in waiting if not one.get("client")]:
            return {"type": "interrupt", "interrupts": asked}
        # Calls of its own tools are no questions to a page: it makes them, and brings what they gave.
        calls = [str(call["id"]) for one in waiting if (call := call_of(one))]
        return {"type": "success", **({"pendingToolCallIds": calls} if calls and self._names_calls else {})}

    def _usage_field(self) -> dict[str, Any]:
        return {"usage": usage_of(self._used)} if self._used else {}


_HANDLERS = {
    "config": Translator._config,
    "token": Translator._text,
    "reasoning": Translator._text,
    "tool_call": Translator._called,
    "tool_result": Translator._result,
    "file": Translator._file,
    "usage": Translator._usage,
    "done": Translator._done,
    "error": Translator._failed,
}
