"""Run a recorded turn again, with what its model and tools answered then. No network, no key, no process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph

from core.access import Principal, RunContext, context_for
from core.errors import WaystationError
from core.registry import discover
from core.settings.book import Editions
from core.settings.platform import LimitSettings
from core.steps import Step
from graph.flow.builder import build_graph, last_step
from graph.flow.nodes import Swap, swapped
from graph.flow.routing import AfterModel
from graph.flow.state import call_record, calls_of, in_order, text_of
from graph.flow.steps import Steps, declared_by, placed
from graph.replay.alone import questions
from graph.replay.differences import Compared, Difference, Taken, differences, end_step
from graph.replay.recorded_nodes import NoRecordedAnswer, RecordedEnd, recorded
from graph.replay.recording import Recording, message_of

# A replay makes at most the model calls of a turn, and a swapped model may make as many as any turn.
_STEPS, _CALLS, _SUPER_STEPS = 200, 1000, 410
_THREAD: Any = {"configurable": {"thread_id": "replay"}, "recursion_limit": _SUPER_STEPS}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the replayed turn did, and where that is not what was recorded.

    Args:
        status: done, failed, cancelled (as recorded), or interrupted (a swapped node asks a person).
        error: Of a failed turn: its code and detail.
        differences: Step by step, up to where the turns part ways.
    """

    answer: str
    status: str
    tool_calls: list[dict[str, Any]]
    messages: list[BaseMessage]
    events: list[dict[str, Any]]
    interrupts: list[dict[str, Any]]
    error: dict[str, Any] | None
    steps: list[Taken]
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        return not self.differences

    @property
    def difference(self) -> Difference | None:
        """The first one."""
        return self.differences[0] if self.differences else None

    def as_json(self) -> dict[str, Any]:
        return {
            "same": self.same,
            "status": self.status,
            "answer": self.answer,
            "tool_calls": self.tool_calls,
            "interrupts": self.interrupts,
            "error": self.error,
            "steps": [{"node": step.node, **step.did} for step in self.steps],
            "differences": [difference.as_json() for difference in self.differences],
        }


@dataclass(slots=True)
class _Gathered:
    compared: Compared
    messages: list[BaseMessage] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    interrupts: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Taken] = field(default_factory=list)
    streamed: list[str] = field(default_factory=list)
    status: str = "done"
    error: dict[str, Any] | None = None

    def answer(self) -> str:
        """As a run's reply has it: of a turn that was cut, what had come."""
        if self.streamed and self.status != "done":
            return "".join(self.streamed)
        last = next((m for m in reversed(self.messages) if isinstance(m, AIMessage)), None)
        return text_of(last) if last and not last.tool_calls else ""


async def replay(
    recording: Recording,
    *,
    swap: Mapping[str, Swap] | None = None,
    principal: Principal | None = None,
    steps: Sequence[Step] = (),
) -> Replayed:
    """Run the turn of `recording` through the real graph; its nodes answer what they answered then.

    Args:
        swap: Nodes that really run, by the step whose place they take; an
            object, a class, a function, or `module:attribute`.
        steps: Those that no module brings, as they were given to `Agent.open`.
        principal: On whose behalf swapped nodes run; nobody with any rights by default.

    Raises:
        InvalidInput: A node of `swap` cannot be used.
    """
    table = swapped(recorded(_declared(steps), recording), swap or {})
    limits = LimitSettings(steps=_STEPS, tool_calls=_CALLS)
    graph = build_graph(table, AfterModel(Editions.fixed(limits)))
    compiled = graph.compile(checkpointer=InMemorySaver(), name="replay")
    await _as_before(compiled, recording)
    gathered = _Gathered(Compared(table))
    await _run(compiled, recording, gathered, _context(recording, principal))
    gathered.steps.append(end_step(gathered.status, gathered.answer(), gathered.error))
    return _replayed(recording, gathered)


def _declared(own: Sequence[Step]) -> Steps:
    """The table of the steps that are declared here; their nodes are not made."""
    declared = [*declared_by(discover()), *own]
    return placed(declared, declared, lambda step: None)


async def _as_before(graph: CompiledStateGraph[Any, Any, Any, Any], recording: Recording) -> None:
    before = recording.before
    if before.messages or before.files:
        values: dict[str, Any] = {"messages": [message_of(m) for m in before.messages], "files": before.files}
        if before.summary:
            values["summary"] = before.summary
        await graph.aupdate_state(_THREAD, values, as_node=last_step(graph))


def _context(recording: Recording, principal: Principal | None) -> RunContext:
    return context_for(recording.wished, principal or Principal("replay"))


async def _run(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    recording: Recording,
    gathered: _Gathered,
    context: RunContext,
) -> None:
    start = {"messages": [message_of(recording.message)], "files": recording.files}
    stream: AsyncIterator[Any] = graph.astream(
        start, _THREAD, context=context, stream_mode=["custom", "updates"]
    )
    try:
        async for mode, data in stream:
            _hear(gathered, data) if mode == "custom" else _gather(gathered, data)
    except RecordedEnd:
        gathered.status, gathered.error = recording.expected.status, recording.expected.error
    except NoRecordedAnswer as error:
        _fail(gathered, "no_recorded_answer", str(error))
    except GraphRecursionError:
        _fail(gathered, "step_limit", "the replayed turn went round too often")
    except WaystationError as error:
        _fail(gathered, error.code, error.detail)


def _fail(gathered: _Gathered, code: str, detail: str) -> None:
    gathered.status, gathered.error = "failed", {"code": code, "detail": detail}


def _hear(gathered: _Gathered, event: dict[str, Any]) -> None:
    gathered.events.append({"seq": len(gathered.events) + 1, **event})
    if event.get("type") == "token":
        gathered.streamed.append(event["delta"])


def _gather(gathered: _Gathered, update: dict[str, Any]) -> None:
    for node, writes in update.items():
        if node == "__interrupt__":
            gathered.status = "interrupted"
            gathered.interrupts += questions(writes)
            continue
        said = (writes or {}).get("messages", [])
        gathered.messages += said
        gathered.steps += gathered.compared.of_update(node, writes, gathered.messages)
        if any(isinstance(message, AIMessage) for message in said):
            gathered.streamed.clear()


def _replayed(recording: Recording, gathered: _Gathered) -> Replayed:
    steps = gathered.compared.ordered(gathered.steps)
    gathered.messages = in_order(gathered.messages, calls_of(gathered.messages))
    results = [message for message in gathered.messages if isinstance(message, ToolMessage)]
    return Replayed(
        answer=gathered.answer(),
        status=gathered.status,
        tool_calls=[call_record(message) for message in results],
        messages=gathered.messages,
        events=gathered.events,
        interrupts=gathered.interrupts,
        error=gathered.error,
        steps=steps,
        differences=differences(gathered.compared.of_recording(recording), steps),
    )
