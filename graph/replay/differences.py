"""What a turn did, step by step, in a form that two turns can be compared in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from graph.flow.messages import text_of
from graph.replay.recording import Recording, message_of

END = "end"
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a turn. `did` leaves out what is never the same twice: ids and times."""

    node: str
    did: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replayed turn is not the recorded one; `step` counts from 1, None: there is no such step."""

    step: int
    recorded: Step | None
    replayed: Step | None

    def __str__(self) -> str:
        if self.recorded is None or self.replayed is None or self.recorded.node != self.replayed.node:
            return f"step {self.step}: recorded {_named(self.recorded)}, replayed {_named(self.replayed)}"
        ours, theirs = self.recorded.did, self.replayed.did
        told = [
            f"{key}: recorded {_short(ours.get(key))}, replayed {_short(theirs.get(key))}"
            for key in {**ours, **theirs}
            if ours.get(key) != theirs.get(key)
        ]
        return f"step {self.step}, {self.recorded.node}: {'; '.join(told)}"

    def as_json(self) -> dict[str, Any]:
        def shown(step: Step | None) -> dict[str, Any] | None:
            return {"node": step.node, **step.did} if step else None

        return {"step": self.step, "recorded": shown(self.recorded), "replayed": shown(self.replayed)}


def differences(recorded: Sequence[Step], replayed: Sequence[Step]) -> tuple[Difference, ...]:
    """Each step that differs, up to the one where the turns part ways."""
    found: list[Difference] = []
    for number, (ours, theirs) in enumerate(zip_longest(recorded, replayed), start=1):
        if ours == theirs:
            continue
        found.append(Difference(number, ours, theirs))
        if ours is None or theirs is None or ours.node != theirs.node:
            break
    return tuple(found)


def steps_of_recording(recording: Recording) -> list[Step]:
    """The steps that the recorded turn went through."""
    outcomes = {outcome.id: message_of(outcome.message) for outcome in recording.outcomes}
    steps = [
        Step("lookup_config", dict(recording.config)),
        passages_step(recording.retrieval.documents),
    ]
    for answer in recording.answers:
        message = message_of(answer.message)
        steps.append(answer_step(message))
        calls = [call["id"] for call in getattr(message, "tool_calls", [])]
        steps += [tool_step(outcomes[call], answer.message) for call in calls if call in outcomes]
    expected = recording.expected
    if expected.status == "done":
        steps.append(files_step(recording.stored))
    return ordered([*steps, end_step(expected.status, expected.answer, expected.error)])


def steps_of_update(
    node: str, writes: Mapping[str, Any] | None, messages: Sequence[BaseMessage]
) -> list[Step]:
    """The steps behind one update of the graph.

    Args:
        messages: Those of the turn so far: a tool's result is told with the arguments of its call.
    """
    writes = writes or {}
    if node == "lookup_config":
        return [Step(node, dict(writes.get("config", {})))]
    if node == "retrieve":
        return [passages_step(writes.get("documents", []))]
    if node == "store_files":
        return [files_step(writes.get("files") or [])]
    said: list[BaseMessage] = list(writes.get("messages", []))
    asked = [message for message in messages if isinstance(message, AIMessage)]
    if node == "execute_tools":
        last = asked[-1] if asked else None
        return [tool_step(message, last) for message in said]
    return [answer_step(message) for message in said if isinstance(message, AIMessage)]


def ordered(steps: Iterable[Step]) -> list[Step]:
    """Tool calls of one answer run side by side: their order is none."""
    found: list[Step] = []
    for node, group in groupby(steps, key=lambda step: step.node):
        members = list(group)
        if node == "execute_tools":
            members.sort(key=lambda step: json.dumps(step.did, sort_keys=True, default=str))
        found += members
    return found


def answer_step(message: BaseMessage) -> Step:
    calls = [{"name": c["name"], "arguments": c["args"]} for c in getattr(message, "tool_calls", [])]
    return Step("call_model", {"text": text_of(message), "tool_calls": calls})


def tool_step(message: BaseMessage, asked: Any) -> Step:
    call_id = message.tool_call_id if isinstance(message, ToolMessage) else ""
    calls = _calls(asked)
    call = next((call for call in calls if call["id"] == call_id), {})
    record = message.additional_kwargs.get("waystation", {})
    did = {
        "name": message.name or call.get("name", ""),
        "arguments": call.get("args", record.get("arguments", {})),
        "status": record.get("status", "ok"),
        "text": text_of(message),
    }
    return Step("execute_tools", did)


def passages_step(documents: Sequence[Mapping[str, Any]]) -> Step:
    shown = [{key: document.get(key) for key in ("n", "source", "document")} for document in documents]
    return Step("retrieve", {"documents": shown})


def files_step(files: Sequence[Mapping[str, Any]]) -> Step:
    return Step("store_files", {"files": sorted(str(file.get("name", "")) for file in files)})


def end_step(status: str, answer: str, error: Mapping[str, Any] | None) -> Step:
    return Step(END, {"status": status, "answer": answer, "error": (error or {}).get("code", "")})


def _calls(asked: Any) -> list[dict[str, Any]]:
    message = message_of(asked) if isinstance(asked, dict) else asked
    return list(getattr(message, "tool_calls", []))


def _named(step: Step | None) -> str:
    return f"{step.node} {_short(step.did)}" if step else "nothing more"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
