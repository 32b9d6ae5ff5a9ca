"""Make a thread whole again before the next message, after a turn that had no clean end."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.graph.state import CompiledStateGraph

from graph.transcript import Transcript
from nodes.llm.window import answered

Graph = CompiledStateGraph[Any, Any, Any, Any]

# A dirty turn leaves at most its own message behind; a few more cover turns that died in a row.
_LOOK_BACK = 20


async def repair(graph: Graph, transcript: Transcript, thread_id: str) -> list[BaseMessage]:
    """Bring checkpoint and transcript to agree, and answer open tool calls.

    Writes the "result unknown" answers into the thread as the tools' node
    would, and the model's finished messages into the transcript.

    Returns:
        Acknowledged user messages that no checkpoint has: the caller puts
        them before the new one.
    """
    config: Any = {"configurable": {"thread_id": thread_id}}
    messages = await _settled(graph, config)
    known = {message.id for message in messages}
    told = await transcript.user_messages(thread_id, limit=_LOOK_BACK)
    lost: list[BaseMessage] = [
        HumanMessage(row["text"], id=row["id"]) for row in told if row["id"] not in known
    ]
    await transcript.append(thread_id, "", [m for m in messages if m.type != "human"])
    return lost


async def _settled(graph: Graph, config: Any) -> list[BaseMessage]:
    """The thread's messages after its last checkpoint was closed, with every call answered."""
    before = await graph.aget_state(config)
    messages: list[BaseMessage] = before.values.get("messages", [])
    if not messages:
        return []
    # Writes of a step that a crash cut off show in the state, and the next input would drop them.
    # An update takes them in; as the last node it also ends whatever step was open.
    _, results = answered(messages)
    update = {"messages": results}
    await graph.aupdate_state(config, update, as_node="store_files")
    after: list[BaseMessage] = (await graph.aget_state(config)).values["messages"]
    return after
