"""The steps as a recording remembers them: no model, no tool, no store, no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AnyMessage, BaseMessage, ToolMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext
from core.steps import Part
from graph.flow.state import text_of
from graph.flow.steps import Placed, Steps
from graph.replay.recording import RecordedAnswer, RecordedCall, Recording, message_of, read_writes

_SHOWN_PASSAGE = ("n", "source", "document", "title", "score")


class NoRecordedAnswer(Exception):
    """The turn asked for something that the recording does not have."""


class RecordedEnd(Exception):
    """Here the recorded turn failed or was cancelled."""


class Reads(TypedDict, total=False):
    """What a recorded step may be handed; none of it changes what the step says."""

    messages: list[AnyMessage]
    config: dict[str, Any]
    documents: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]
    files: list[dict[str, Any]]


class CallState(TypedDict, total=False):
    call: dict[str, Any]


class RecordedConfig:
    """Says what the turn was allowed to use."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        config = self._recording.config
        shown = {"model": config.get("model", ""), "sources": config.get("sources", [])}
        runtime.stream_writer({"type": "config", **shown, "tools": self._recording.offered})
        return {"config": config}


class RecordedPassages:
    """Finds what was found."""

    def __init__(self, recording: Recording) -> None:
        self._found = recording.retrieval

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        documents, failed = self._found.documents, self._found.failed
        if documents or failed:
            items = [{key: document.get(key) for key in _SHOWN_PASSAGE} for document in documents]
            runtime.stream_writer({"type": "documents", "items": items, "failed": failed})
        return {"documents": documents}


class RecordedModel:
    """Answers in the order of the recording, whatever it is sent."""

    def __init__(self, recording: Recording) -> None:
        self._answers = list(recording.answers)
        self._expected = recording.expected
        self._said = 0

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        if self._said == len(self._answers):
            self._end(runtime)
        answer: RecordedAnswer = self._answers[self._said]
        self._said += 1
        message = message_of(answer.message)
        if text := text_of(message):
            runtime.stream_writer({"type": "token", "delta": text})
        if answer.usage:
            runtime.stream_writer({"type": "usage", **answer.usage})
        return {"messages": [message]}

    def _end(self, runtime: Runtime[RunContext]) -> None:
        if self._expected.status == "done":
            have = len(self._answers)
            raise NoRecordedAnswer(f"no recorded answer for model call {have + 1}; recorded: {have}")
        if self._expected.partial:
            runtime.stream_writer({"type": "token", "delta": self._expected.partial})
        raise RecordedEnd


class RecordedTools:
    """Answers a call as it was answered: the one with its id, else one with its name and arguments."""

    def __init__(self, recording: Recording) -> None:
        self._left = list(recording.outcomes)
        self._all = tuple(recording.outcomes)
        self._asked = {call["id"] for answer in recording.answers for call in _calls(answer)}
        self._cut = recording.expected.status != "done"

    async def __call__(self, state: CallState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        call = state["call"]
        message = self._take(call)
        if message is None:
            return {"messages": [], "artifacts": []}
        record = message.additional_kwargs.get("waystation", {})
        server, tool = record.get("server", ""), record.get("tool", call["name"])
        shown = {"id": call["id"], "server": server, "tool": tool, "arguments": call.get("args") or {}}
        runtime.stream_writer({"type": "tool_call", **shown})
        runtime.stream_writer(_result_event(message, record))
        return {"messages": [message], "artifacts": []}

    def _take(self, call: dict[str, Any]) -> ToolMessage | None:
        """The recorded answer; None for a call that was cut off: the next model call ends the turn."""
        found = next((kept for kept in self._left if kept.id == call["id"] and _same(kept, call)), None)
        found = found or next((kept for kept in self._left if _same(kept, call)), None)
        if found is None:
            if self._cut and call["id"] in self._asked:
                return None
            known = ", ".join(_written(kept.name, kept.arguments) for kept in self._all) or "none"
            wanted = _written(str(call["name"]), call.get("args") or {})
            raise NoRecordedAnswer(f"no recorded answer for {wanted}; recorded: {known}")
        self._left.remove(found)
        message = message_of(found.message)
        if not isinstance(message, ToolMessage):
            raise NoRecordedAnswer(
                f"what is recorded for {_written(found.name, found.arguments)} is no result"
            )
        # Another model gives its calls other ids; the answer has to carry those.
        update = {"tool_call_id": call["id"], "id": f"tool-{call['id']}"}
        return message if found.id == call["id"] else message.model_copy(update=update)


class RecordedFiles:
    """Says which files were kept, and keeps none."""

    def __init__(self, recording: Recording) -> None:
        self._stored = recording.stored
        self._cut = recording.expected.status != "done"

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        for file in self._stored:
            runtime.stream_writer({"type": "file", **file})
        if self._cut:
            raise RecordedEnd
        return {"files": self._stored, "artifacts": None} if self._stored else {}


class RecordedWrites:
    """Writes what a further step wrote, in the order of the recording; then nothing more."""

    def __init__(self, writes: Sequence[Mapping[str, Any]]) -> None:
        self._left = list(writes)

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        return self._left.pop(0) if self._left else {}


_PARTS: Mapping[Part, Callable[[Recording], Any]] = {
    "config": RecordedConfig,
    "passages": RecordedPassages,
    "model": RecordedModel,
    "tools": RecordedTools,
    "files": RecordedFiles,
}


def recorded(steps: Steps, recording: Recording) -> Steps:
    """The table with nodes that answer from the recording. For one turn: the answers are used up."""

    def node(placed: Placed) -> Any:
        if placed.main:
            return _PARTS[placed.part](recording)
        writes = [read_writes(made.writes) for made in recording.further if made.step == placed.name]
        return (placed.step.replays or RecordedWrites)(writes)

    return steps.running({placed.name: node(placed) for placed in steps.placed})


def _calls(answer: RecordedAnswer) -> list[dict[str, Any]]:
    message: BaseMessage = message_of(answer.message)
    return list(getattr(message, "tool_calls", []))


def _same(kept: RecordedCall, call: dict[str, Any]) -> bool:
    return kept.name == call["name"] and kept.arguments == (call.get("args") or {})


def _written(name: str, arguments: dict[str, Any]) -> str:
    shown = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    return f"{name}({shown})"


def _result_event(message: ToolMessage, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "id": message.tool_call_id,
        "status": record.get("status", "ok"),
        "content": text_of(message),
        "duration_ms": record.get("duration_ms", 0),
        "files": record.get("files", []),
    }
