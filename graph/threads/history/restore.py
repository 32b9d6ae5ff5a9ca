"""A thread's state made again from its messages, where there is no checkpoint to begin from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from sqlalchemy import select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from graph.db.tables import transcript
from graph.flow.builder import last_step
from graph.runs.lease import Leases
from graph.threads.history.look import Graph
from nodes.llm.prompt import answered

# Rows of the transcript that a state is made of, at most; older ones stay in the transcript.
MOST_ROWS = 200


class Restorer:
    """Writes a state into a thread that has none."""

    def __init__(self, engine: AsyncEngine, graph: Graph, leases: Leases) -> None:
        self._engine = engine
        self._graph = graph
        self._leases = leases

    @property
    def saver(self) -> BaseCheckpointSaver[Any]:
        """Where the graph's checkpoints are kept."""
        saver = self._graph.checkpointer
        if not isinstance(saver, BaseCheckpointSaver):
            raise TypeError("threads need a graph that was compiled with a checkpointer")
        return saver

    async def write(
        self,
        thread_id: str,
        messages: Sequence[BaseMessage],
        *,
        files: Sequence[dict[str, Any]] = (),
        summary: str = "",
    ) -> list[BaseMessage]:
        """Make this the state of the thread, every tool call in it answered.

        Returns:
            The messages as they stand there.

        Raises:
            ThreadBusy: A run is going on it.
        """
        whole_list, _ = answered(messages)
        if not whole_list and not files:
            return []
        config: Any = {"configurable": {"thread_id": thread_id}}
        values: dict[str, Any] = {"messages": whole_list, "files": list(files)}
        if summary:
            values["summary"] = summary
        async with self._leases.borrow(thread_id):
            # As the last step of a turn, so that nothing is open behind it.
            await self._graph.aupdate_state(config, values, as_node=last_step(self._graph))
        return whole_list

    async def from_state(self, thread_id: str, values: Mapping[str, Any]) -> None:
        """Make the state from the values of another thread's."""
        files, summary = values.get("files") or (), values.get("summary") or ""
        await self.write(thread_id, values.get("messages") or (), files=files, summary=summary)

    async def from_transcript(self, thread_id: str) -> None:
        """Make the state from what the transcript has of the last turns."""
        query = (
            select(transcript)
            .where(transcript.c.thread_id == thread_id)
            .order_by(transcript.c.seq.desc())
            .limit(MOST_ROWS)
        )
        async with self._engine.connect() as db:
            rows = (await db.execute(query)).mappings().all()[::-1]
        messages = [message for row in rows if (message := message_of(row)) is not None]
        while messages and not isinstance(messages[0], HumanMessage):
            messages.pop(0)
        await self.write(thread_id, messages)


def message_of(row: Any) -> BaseMessage | None:
    """A row of the transcript as a message of the state; None for a piece of an answer that was cut."""
    extra = row["extra"] or {}
    if row["role"] == "user":
        return HumanMessage(row["text"], id=row["message_id"])
    if row["role"] == "assistant" and not extra.get("partial"):
        calls = [
            {
                "id": call.get("id"),
                "name": call["name"],
                "args": call.get("arguments") or {},
                "type": "tool_call",
            }
            for call in extra.get("tool_calls") or ()
        ]
        return AIMessage(row["text"], id=row["message_id"], tool_calls=calls)
    if row["role"] == "tool" and extra.get("tool_call_id"):
        record = {k: v for k, v in extra.items() if k not in ("tool_call_id", "name")}
        return ToolMessage(
            row["text"],
            id=row["message_id"],
            tool_call_id=extra["tool_call_id"],
            name=extra.get("name"),
            status="success" if extra.get("status", "ok") == "ok" else "error",
            additional_kwargs={"waystation": record} if record else {},
        )
    return None
