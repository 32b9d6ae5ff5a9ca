"""Whether threads of the release that runs would go on under this one: looked at, never touched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from langgraph._internal._constants import ERROR, ERROR_SOURCE_NODE, INTERRUPT, NULL_TASK_ID, RESUME, TASKS
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Interrupt, Send

from core.registry import Module, loaded
from core.steps import Step
from graph.checkpoints.carrying import SEALED, Carrying
from graph.checkpoints.fingerprint import FINGERPRINT, fingerprint
from graph.checkpoints.renaming import TRIGGER
from graph.deploy.reading import LIVE, StrictSerializer, ThreadAsLeft
from graph.flow.builder import build_graph
from graph.flow.routing import AfterModel
from graph.flow.steps import declared_by, placed

Compiled = CompiledStateGraph[Any, Any, Any, Any]

JOIN = "join:"
_SIGNS = frozenset({ERROR, ERROR_SOURCE_NODE, INTERRUPT, RESUME})


@dataclass(frozen=True, slots=True)
class ThreadVerdict:
    """What this release would make of a thread.

    Args:
        fingerprint: Whether its newest checkpoint was written by this very graph: same, different or none.
        next: The steps that would run when it goes on, by their names of now.
        waits: Questions to a person that wait for an answer.
        kept: Channels with a value that the graph does not know; the value stays.
        mapped: Old names of steps that are read as their new ones.
        breaks: Why the thread would not go on as it should; empty when it would.
    """

    thread_id: str
    status: str
    checkpoint_id: str = ""
    fingerprint: str = "none"
    next: tuple[str, ...] = ()
    waits: int = 0
    kept: tuple[str, ...] = ()
    mapped: tuple[str, ...] = ()
    breaks: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def present_graph(modules: Sequence[Module]) -> Compiled:
    """The graph that these modules make, to be looked at and not to be run: no module is started."""
    declared = declared_by(modules)
    return build_graph(placed(declared, declared, _bare), _made(AfterModel)).compile(name="waystation")


def _bare(step: Step) -> Any:
    return _made(loaded(step.run))


def _made(kind: Any) -> Any:
    """An object of the class that has none of the services it would need to run."""
    return object.__new__(kind) if isinstance(kind, type) else kind


async def check(graph: Compiled, saver: Any, threads: Sequence[ThreadAsLeft]) -> AsyncIterator[ThreadVerdict]:
    """One verdict after the other, in the order of `threads`.

    Args:
        graph: That of the release to come.
        saver: One that `deploy_reading.reading` opened.
    """
    served = graph.copy(update={"checkpointer": saver})
    saver.serve(served)
    for thread in threads:
        yield await _verdict(served, saver, thread)


async def _verdict(graph: Compiled, saver: Any, thread: ThreadAsLeft) -> ThreadVerdict:
    config: Any = {"configurable": {"thread_id": thread.thread_id, "checkpoint_ns": ""}}
    lost: set[str] = set()
    try:
        sealed = await _stored(saver, config, SEALED)
        if sealed is None:
            return ThreadVerdict(thread.thread_id, thread.status)
        unknown = saver.unknown(sealed.checkpoint)
        saver.serde = StrictSerializer(lost.add)
        state = await graph.aget_state(config)
        stored = await _stored(saver, config, saver.serde)
    except Exception as error:  # noqa: BLE001 - whatever a stored value raises is what this looks for
        why = f"its newest checkpoint cannot be read: {type(error).__name__}: {_line(error)}"
        return ThreadVerdict(thread.thread_id, thread.status, breaks=(why,))
    lost -= _lost_in_kept(sealed, unknown)
    # A turn that is over leaves nothing behind that would run: the next message starts at the beginning.
    gone = _gone(graph, saver.renaming.mapped(stored), state) if thread.status in LIVE else []
    return ThreadVerdict(
        thread.thread_id,
        thread.status,
        checkpoint_id=stored.checkpoint["id"],
        fingerprint=_compared(dict(stored.metadata or {}).get(FINGERPRINT), fingerprint(graph)),
        next=tuple(sorted(set(state.next))),
        waits=len(state.interrupts),
        kept=tuple(sorted(unknown)),
        mapped=tuple(sorted(saver.renaming.old_names(stored))),
        breaks=(*sorted(lost), *gone),
    )


async def _stored(saver: Any, config: Any, serde: JsonPlusSerializer) -> Any:
    """The newest checkpoint as it stands on disk, without renaming."""
    saver.serde = serde
    return await super(Carrying, saver).aget_tuple(config)


def _compared(stored: object, ours: str) -> str:
    if not stored:
        return "none"
    return "same" if stored == ours else "different"


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]


def _lost_in_kept(sealed: CheckpointTuple, unknown: frozenset[str]) -> set[str]:
    """Objects that are lost in values which nobody reads only: those stay as they are on disk."""
    inside: dict[bool, set[str]] = {True: set(), False: set()}
    for name, value in sealed.checkpoint["channel_values"].items():
        StrictSerializer(inside[name in unknown].add).loads_typed(SEALED.dumps_typed(value))
    return inside[True] - inside[False]


def _gone(graph: Compiled, stored: CheckpointTuple, state: Any) -> list[str]:
    """What comes next in the checkpoint, and would not come under this graph."""
    names = {task.name for task in state.tasks}
    found = [
        f"the step '{name}' comes next, and {_REMEDY}"
        if name not in graph.nodes
        else f"the step '{name}' comes next, and nothing would start it in this graph"
        for name in sorted(_expected(stored) - names)
    ]
    found += [
        f"the question '{question.id}' would vanish: the step that asks it is not in this graph"
        for question in _questions(stored, {task.id for task in state.tasks})
    ]
    return found + _dropped(graph, stored)


_REMEDY = (
    "this graph has none of that name: name it in graph/checkpoints/renames.py, or let the thread end before"
)


def _expected(stored: CheckpointTuple) -> set[str]:
    """The steps that the graph which wrote the checkpoint would run next."""
    checkpoint = stored.checkpoint
    values: Mapping[str, Any] = checkpoint["channel_values"]
    versions: Mapping[str, Any] = checkpoint["channel_versions"]
    names = {packet.node for packet in values.get(TASKS) or () if isinstance(packet, Send)}
    for channel in values:
        if channel.startswith(TRIGGER):
            name = channel.removeprefix(TRIGGER)
            seen: Any = checkpoint["versions_seen"].get(name, {}).get(channel)
            if seen is None or versions.get(channel, seen) > seen:
                names.add(name)
    return names


def _questions(stored: CheckpointTuple, tasks: set[str]) -> list[Interrupt]:
    """Those that wait, of tasks that this graph would not have."""
    writes = stored.pending_writes or []
    ended = {task for task, channel, _ in writes if channel not in _SIGNS}
    return [
        question
        for task, channel, value in writes
        if channel == INTERRUPT and task not in ended | tasks
        for question in (value if isinstance(value, (list, tuple)) else [value])
    ]


def _dropped(graph: Compiled, stored: CheckpointTuple) -> list[str]:
    """Of what steps have written already, and no checkpoint has yet, that which has nowhere to go."""
    found = [
        f"what steps handed to '{name}' would be dropped: this graph has no such channel"
        for name in stored.checkpoint["channel_values"]
        if name.startswith(JOIN) and name not in graph.channels
    ]
    for task, channel, value in stored.pending_writes or ():
        if task == NULL_TASK_ID or channel in _SIGNS:
            continue
        if channel == TASKS and isinstance(value, Send) and value.node not in graph.nodes:
            found.append(f"a finished step called '{value.node}', and {_REMEDY}")
        elif channel.startswith(TRIGGER) and channel not in graph.channels:
            found.append(f"a finished step leads to '{channel.removeprefix(TRIGGER)}', and {_REMEDY}")
        elif not channel.startswith("__") and channel not in graph.channels:
            found.append(
                f"what a finished step wrote to '{channel}' would be dropped: no such channel in this graph"
            )
    return list(dict.fromkeys(found))
