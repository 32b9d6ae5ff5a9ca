"""What a turn did, step by step, in a form that two turns can be compared in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from core.steps import Part
from graph.flow.state import as_messages, text_of
from graph.flow.steps import Placed, Steps
from graph.replay.recording import RecordedStep, Recording, message_of, read_writes, written_json

END = "end"
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Taken:
    """One step that a turn took. `did` leaves out what is never the same twice: ids and times."""

    node: str
    did: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replayed turn is not the recorded one; `step` counts from 1, None: there is no such step."""

    step: int
    recorded: Taken | None
    replayed: Taken | None

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
        def shown(step: Taken | None) -> dict[str, Any] | None:
            return {"node": step.node, **step.did} if step else None

        return {"step": self.step, "recorded": shown(self.recorded), "replayed": shown(self.replayed)}


def differences(recorded: Sequence[Taken], replayed: Sequence[Taken]) -> tuple[Difference, ...]:
    """Each step that differs, up to the one where the turns part ways."""
    found: list[Difference] = []
    for number, (ours, theirs) in enumerate(zip_longest(recorded, replayed), start=1):
        if ours == theirs:
            continue
        found.append(Difference(number, ours, theirs))
        if ours is None or theirs is None or ours.node != theirs.node:
            break
    return tuple(found)


class Compared:
    """Steps as they are compared, in the words of a table of steps."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def of_recording(self, recording: Recording) -> list[Taken]:
        """The steps that the recorded turn went through."""
        outcomes = {outcome.id: message_of(outcome.message) for outcome in recording.outcomes}
        left, expected = list(recording.further), recording.expected
        cut = expected.status != "done"
        found = self._around("config", [dict(recording.config)], left)
        found += self._around("passages", [_passages(recording.retrieval.documents)], left)
        for answer in recording.answers:
            message = message_of(answer.message)
            found += self._around("model", [_answer(message)], left)
            calls = [call["id"] for call in getattr(message, "tool_calls", [])]
            results = [_result(outcomes[call], answer.message) for call in calls if call in outcomes]
            # In a turn that came to its end, calls without a result were taken out of the answer by a guard.
            found += self._around("tools", results, left) if results or (calls and cut) else []
        if not cut:
            found += self._around("files", [_files(recording.stored)], left)
        else:
            # Ahead of a model call that came to no end, further steps had come to theirs.
            found += self._around("model", [], left)
        return self.ordered([*found, end_step(expected.status, expected.answer, expected.error)])

    def _around(self, part: Part, did: Sequence[dict[str, Any]], left: list[RecordedStep]) -> list[Taken]:
        """A part of the turn, with what the further steps that stand there wrote."""
        found: list[Taken] = []
        for placed in self._steps.of(part):
            if placed.main:
                found += [Taken(placed.name, one) for one in did]
                continue
            made = next((one for one in left if one.step == placed.name), None)
            if made is not None:
                left.remove(made)
                found += self._further(placed, read_writes(made.writes))
        return found

    def of_update(
        self, node: str, writes: Mapping[str, Any] | None, messages: Sequence[BaseMessage]
    ) -> list[Taken]:
        """The steps behind one update of the graph.

        Args:
            messages: Those of the turn so far: a tool's result is told with the arguments of its call.
        """
        placed, writes = self._steps.by_name[node], writes or {}
        said: list[BaseMessage] = list(writes.get("messages", []))
        did: list[dict[str, Any]]
        if not placed.main:
            return self._further(placed, writes)
        match placed.part:
            case "config":
                did = [dict(writes.get("config", {}))]
            case "passages":
                did = [_passages(writes.get("documents", []))]
            case "files":
                did = [_files(writes.get("files") or [])]
            case "tools":
                asked = [message for message in messages if isinstance(message, AIMessage)]
                did = [_result(message, asked[-1] if asked else None) for message in said]
            case "model":
                did = [_answer(message) for message in said if isinstance(message, AIMessage)]
        return [Taken(node, one) for one in did]

    def _further(self, placed: Placed, writes: Mapping[str, Any]) -> list[Taken]:
        """What a further step wrote: nothing, and what lives within a turn, stands in no recording."""
        kept = {name: value for name, value in writes.items() if name not in self._steps.turn_only}
        return [Taken(placed.name, _further(placed, kept))] if kept else []

    def ordered(self, steps: Iterable[Taken]) -> list[Taken]:
        """Tool calls of one answer run side by side: their order is none."""
        tools = self._steps.main("tools").name
        found: list[Taken] = []
        for node, group in groupby(steps, key=lambda step: step.node):
            members = list(group)
            if node == tools:
                members.sort(key=lambda step: json.dumps(step.did, sort_keys=True, default=str))
            found += members
        return found


def _further(placed: Placed, writes: Mapping[str, Any]) -> dict[str, Any]:
    if placed.step.compares is not None:
        return dict(placed.step.compares(writes))
    kept = {name: value for name, value in writes.items() if name != "messages"}
    said = [{"type": m.type, "text": text_of(m)} for m in as_messages(writes.get("messages") or [])]
    return {**written_json(kept), **({"messages": said} if said else {})}


def _answer(message: BaseMessage) -> dict[str, Any]:
    calls = [{"name": c["name"], "arguments": c["args"]} for c in getattr(message, "tool_calls", [])]
    return {"text": text_of(message), "tool_calls": calls}


def _result(message: BaseMessage, asked: Any) -> dict[str, Any]:
    call_id = message.tool_call_id if isinstance(message, ToolMessage) else ""
    calls = _calls(asked)
    call = next((call for call in calls if call["id"] == call_id), {})
    record = message.additional_kwargs.get("waystation", {})
    return {
        "name": message.name or call.get("name", ""),
        "arguments": call.get("args", record.get("arguments", {})),
        "status": record.get("status", "ok"),
        "text": text_of(message),
    }


def _passages(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shown = [{key: document.get(key) for key in ("n", "source", "document")} for document in documents]
    return {"documents": shown}


def _files(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"files": sorted(str(file.get("name", "")) for file in files)}


def end_step(status: str, answer: str, error: Mapping[str, Any] | None) -> Taken:
    return Taken(END, {"status": status, "answer": answer, "error": (error or {}).get("code", "")})


def _calls(asked: Any) -> list[dict[str, Any]]:
    message = message_of(asked) if isinstance(asked, dict) else asked
    return list(getattr(message, "tool_calls", []))


def _named(step: Taken | None) -> str:
    return f"{step.node} {_short(step.did)}" if step else "nothing more"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
