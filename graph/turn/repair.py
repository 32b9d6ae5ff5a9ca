"""Make a thread whole again after a turn that had no clean end, before anything is added to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.graph import END
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.outage import uninterrupted
from graph.flow.builder import last_step
from graph.flow.routing import is_remark
from graph.runs.lease import Hold, assert_held
from graph.runs.receipts import forget_receipts, outcomes_of
from graph.threads.history.agree import take_out
from graph.threads.history.look import snapshot_at, state_of
from graph.threads.transcript import Transcript
from nodes.llm.prompt import answered
from nodes.mcp_tools import artifacts_of, tool_message

Graph = CompiledStateGraph[Any, Any, Any, Any]

# A turn that was cut leaves at most its own message behind; a few more cover turns that died in a row.
_LOOK_BACK = 20
# A turn's calls and their answers, with room: limits.steps and limits.tool_calls bound them.
_LAST_TURN = 200


@dataclass(frozen=True, slots=True)
class Settled:
    """A thread with every call answered.

    Args:
        messages: The working window.
        lost: Acknowledged messages of the user that no checkpoint has, oldest first.
    """

    messages: list[BaseMessage]
    lost: list[BaseMessage]


class Repair:
    """Brings checkpoint and transcript of a thread to agree. The thread must be held."""

    def __init__(self, graph: Graph, transcript: Transcript, engine: AsyncEngine) -> None:
        self._graph = graph
        self._transcript = transcript
        self._engine = engine

    async def settle(self, thread_id: str, run_id: str) -> Settled:
        """Close the last checkpoint, answer open tool calls, and put what was said into the transcript.

        A call is answered from its receipt where it was made, else with
        "interrupted, result unknown".

        Args:
            run_id: The run that goes on; its own receipts are kept.
        """
        config: Any = {"configurable": {"thread_id": thread_id}}
        messages = await self._closed(config, thread_id)
        known = {message.id for message in messages}
        told = await self._transcript.user_messages(thread_id, limit=_LOOK_BACK)
        await self._transcript.append(thread_id, "", [m for m in messages if m.type != "human"])
        await self._answer_told(thread_id)
        await forget_receipts(self._engine, thread_id, but_of=run_id)
        return Settled(messages, _lost(told, known))

    async def go_back(self, hold: Hold, checkpoint_id: str) -> None:
        """Take out of the transcript what the thread's state has and that of an older checkpoint has not."""
        now = await snapshot_at(self._graph, hold.thread_id)
        then = await snapshot_at(self._graph, hold.thread_id, checkpoint_id)
        old, new = (snapshot.values.get("messages", []) for snapshot in (now, then))
        await self._take_out(hold, old, new)

    @uninterrupted
    async def _take_out(self, hold: Hold, old: list[BaseMessage], new: list[BaseMessage]) -> None:
        async with self._engine.begin() as db:
            await assert_held(db, hold)
            await take_out(db, hold.thread_id, old, new)

    async def _closed(self, config: Any, thread_id: str) -> list[BaseMessage]:
        before, refused = await state_of(self._graph, config)
        messages: list[BaseMessage] = before.values.get("messages", [])
        if not messages:
            return []
        # What the finished part of a cut step wrote shows in the state, and the next input would drop it, as
        # would any other update. This one takes it in, and ends whatever was open; the other leaves out what
        # the state refuses, and so would for ever.
        if refused:
            await self._graph.aupdate_state(config, {"messages": []}, as_node=last_step(self._graph))
        else:
            await self._graph.aupdate_state(config, None, as_node=END)
        if update := await self._answers(thread_id, messages):
            await self._graph.aupdate_state(config, update, as_node=last_step(self._graph))
        after: list[BaseMessage] = (await self._graph.aget_state(config)).values["messages"]
        return after

    async def _answer_told(self, thread_id: str) -> None:
        """Answer calls that only the transcript has: their turn was stopped before they were checkpointed."""
        page = await self._transcript.page(thread_id, limit=_LAST_TURN, before=None)
        update = await self._answers(thread_id, _with_calls(page["messages"]))
        await self._transcript.append(thread_id, "", update.get("messages", []))

    async def _answers(self, thread_id: str, messages: list[BaseMessage]) -> dict[str, Any]:
        _, missing = answered(messages)
        if not missing:
            return {}
        made = await outcomes_of(self._engine, thread_id, [m.tool_call_id for m in missing])
        results: list[BaseMessage] = []
        artifacts: list[dict[str, Any]] = []
        for message in missing:
            outcome = made.get(message.tool_call_id)
            results.append(tool_message(outcome, message.name or "") if outcome else message)
            artifacts += artifacts_of(outcome) if outcome else []
        return {"messages": results, "artifacts": artifacts} if artifacts else {"messages": results}


def _with_calls(rows: list[dict[str, Any]]) -> list[BaseMessage]:
    """What the transcript knows of calls and of their answers, as messages without their texts."""
    found: list[BaseMessage] = []
    for row in rows:
        if calls := row.get("tool_calls"):
            # Imported ones may lack an id, and then nobody can answer them.
            answerable = [c for c in calls if c.get("id")]
            known = [{"id": c["id"], "name": c["name"], "args": c.get("arguments") or {}} for c in answerable]
            found.append(AIMessage("", id=row["id"], tool_calls=known))
        elif row.get("tool_call_id"):
            found.append(ToolMessage("", id=row["id"], tool_call_id=row["tool_call_id"]))
    return found


def removals(messages: Sequence[BaseMessage], unsendable: set[str]) -> list[BaseMessage]:
    """Take these messages out of the state; they stay in the transcript.

    One that was followed by calls was sent, and only what came of it was too much. It stays:
    a model that does not know what was done would do it again.
    """
    following = [*messages[1:], None]
    return [
        RemoveMessage(id=message.id)
        for message, after in zip(messages, following, strict=False)
        if message.id and message.id in unsendable and not isinstance(after, AIMessage)
    ]


def _lost(told: list[dict[str, Any]], known: set[str | None]) -> list[BaseMessage]:
    """Messages behind the newest that the state has; older ones have only left the window."""
    lost: list[BaseMessage] = []
    for row in reversed(told):
        if row["id"] in known:
            break
        lost.append(HumanMessage(row["text"], id=row["id"]))
    return lost[::-1]


def is_answered(messages: list[BaseMessage], message_id: str | None) -> bool:
    """True when the turn that this message began has its final answer."""
    start = next((i for i, m in enumerate(messages) if m.id == message_id), None)
    last = next((message for message in reversed(messages) if not is_remark(message)), None)
    return start is not None and isinstance(last, AIMessage) and not last.tool_calls
