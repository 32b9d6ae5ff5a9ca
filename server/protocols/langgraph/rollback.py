"""A run that is taken back: the thread goes on as if it had not been, but for what its tools have done."""

from __future__ import annotations

from langchain_core.messages import RemoveMessage
from langgraph.graph import END

from core.access import Principal
from graph.agent import Agent
from graph.errors import RunEnded
from graph.runs.record import RunRecord
from graph.threads.history.look import id_of

# A turn has two states to be shown, and one for each question: so far one looks for its beginning.
_LOOKED_AT = 100
_LONGEST_S = 600.0


async def running_on(agent: Agent, who: Principal, thread_id: str) -> RunRecord | None:
    """The run that goes on there."""
    found = await agent.runs.list(who, thread_id=thread_id, status="running", limit=1)
    return found[0] if found else None


async def place_before(agent: Agent, who: Principal, record: RunRecord) -> str | None:
    """The checkpoint that a run began at; None where the thread had none."""
    if record.request.checkpoint:
        return record.request.checkpoint
    for shown in await agent.threads.checkpoints.page(who, record.thread_id, limit=_LOOKED_AT):
        messages = shown.snapshot.values.get("messages") or ()
        asked = record.message_id and any(message.id == record.message_id for message in messages)
        # What is asked stands in a checkpoint of its own before the messages have it; the first is one.
        if not asked and (shown.parent is None or not _is_input(shown.snapshot.metadata)):
            return id_of(shown.snapshot)
    return None


def _is_input(metadata: object) -> bool:
    return isinstance(metadata, dict) and metadata.get("source") == "input"


async def take_back(agent: Agent, who: Principal, record: RunRecord) -> None:
    """End a run, and bring its thread to where it was before; the run is forgotten."""
    has_state = await _has_state(agent, who, record)
    try:
        await agent.runs.cancel(who, record.id)
    except RunEnded:
        return
    await agent.runs.wait(who, record.id, timeout=_LONGEST_S)
    # Looked for now: a run that had just begun had no checkpoint before.
    if has_state and (place := await place_before(agent, who, record)):
        await _go_back(agent, who, record, place)
    await agent.threads.eraser.forget_run(who, record.id)


async def _go_back(agent: Agent, who: Principal, record: RunRecord, place: str) -> None:
    thread = record.thread_id
    # As the end of a run: what was asked there, but not answered, is asked no more.
    await agent.change(who, thread, None, as_node=END, checkpoint_id=place)
    messages = (await agent.threads.checkpoints.at(who, thread)).values.get("messages") or ()
    if any(message.id == record.message_id for message in messages):
        # A thread's first checkpoint is the question itself: there is none before it.
        asked = [RemoveMessage(id=message.id) for message in messages]
        await agent.change(who, thread, {"messages": asked}, as_node=END)


async def _has_state(agent: Agent, who: Principal, record: RunRecord) -> bool:
    """Whether the newest state of its thread is the run's: it goes on, or waits for a person."""
    if record.status == "interrupted":
        return bool((await agent.threads.get(who, record.thread_id))["status"] == "interrupted")
    return record.status == "running"


async def forget(agent: Agent, who: Principal, run_id: str) -> None:
    """Forget a run whose place another has taken, when it has ended."""
    record = await agent.runs.wait(who, run_id, timeout=_LONGEST_S)
    if not record.active:
        await agent.threads.eraser.forget_run(who, run_id)
