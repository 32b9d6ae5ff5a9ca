"""Make a thread whole again before the next message, after a turn that had no clean end."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.graph.state import CompiledStateGraph

from graph.messages import unanswered
from graph.transcript import Transcript

Graph = CompiledStateGraph[Any, Any, Any, Any]

# A dirty turn leaves at most its own message behind; a few more cover turns that died in a row.
_LOOK_BACK = 20


async def repair(graph: Graph, transcript: Transcript, thread_id: str, *, newest: str) -> list[BaseMessage]:
    """Bring checkpoint and transcript to agree, and answer open tool calls.

    Writes the "result unknown" answers into the thread as the tools' node
    would, and the model's finished messages into the transcript.

    Args:
        newest: Id of the message that starts the coming turn; it is left out.

    Returns:
        Acknowledged user messages that no checkpoint has: the caller puts
        them before the new one.
    """
    config: Any = {"configurable": {"thread_id": thread_id}}
    snapshot = await graph.aget_state(config)
    messages: list[BaseMessage] = snapshot.values.get("messages", [])
    known = {message.id for message in messages}
    told = await transcript.user_messages(thread_id, limit=_LOOK_BACK)
    lost: list[BaseMessage] = [
        HumanMessage(row["text"], id=row["id"])
        for row in told
        if row["id"] not in known and row["id"] != newest
    ]
    answers = unanswered(messages)
    if answers or snapshot.next:
        # as_node: the graph's next step follows from who wrote last.
        await graph.aupdate_state(config, {"messages": answers, "artifacts": None}, as_node="store_files")
    await transcript.append(thread_id, "", [m for m in [*messages, *answers] if m.type != "human"])
    return lost
