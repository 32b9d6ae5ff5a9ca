"""`RemoteGraph` on a real service: by itself, and as a step of another graph."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client

from waystation.testing.model_server import ModelServer, call, say
from waystation.testing.service import Service

GRAPH = "waystation"


@pytest.fixture
async def remote(asking_service: Service) -> AsyncIterator[RemoteGraph]:
    async with get_client(url=f"{asking_service.url}/langgraph", api_key=None) as client:
        yield RemoteGraph(GRAPH, client=client)


def asks(text: str) -> dict[str, Any]:
    return {"messages": [{"type": "human", "content": text}]}


def config(**more: Any) -> dict[str, Any]:
    return {"configurable": {"thread_id": str(uuid4()), **more}}


async def test_it_is_invoked_and_streamed_like_any_graph(
    remote: RemoteGraph, model_server: ModelServer
) -> None:
    where: Any = config()
    model_server.script(say("From afar."), match="remote one")
    values = await remote.ainvoke(asks("remote one"), where)
    assert values["messages"][-1]["content"] == "From afar."
    model_server.script(say("Piece by piece."), match="remote two")
    streamed: Any = remote.astream(asks("remote two"), where, stream_mode=["messages", "values"])
    parts = [part async for part in streamed]
    pieces = [data[0] for mode, data, *_ in parts if mode == "messages"]
    assert "".join(piece["content"] for piece in pieces) == "Piece by piece."
    assert len([data for mode, data, *_ in parts if mode == "values"][-1]["messages"]) == 4
    state = await remote.aget_state(where)
    assert [message["type"] for message in state.values["messages"]] == ["human", "ai", "human", "ai"]
    assert state.next == ()
    history: Any = remote.aget_state_history(where, limit=3)
    assert [len(found.values["messages"]) async for found in history] == [4, 3, 2]
    assert {"call_model", "execute_tools"} <= (await remote.aget_graph()).nodes.keys()


async def test_a_question_is_answered_by_a_command(remote: RemoteGraph, model_server: ModelServer) -> None:
    where: Any = config()
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), match="remote asks")
    asked = await remote.ainvoke(asks("remote asks"), where)
    assert asked["__interrupt__"][0]["value"]["kind"] == "approval"
    model_server.script(say("It is eight."))
    values = await remote.ainvoke(Command(resume={"approve": True}), where)
    assert values["messages"][-1]["content"] == "It is eight."


async def test_it_is_a_step_of_another_graph_and_the_thread_goes_on(
    remote: RemoteGraph, model_server: ModelServer
) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("remote", remote)
    builder.add_edge(START, "remote")
    parent: Any = builder.compile(checkpointer=InMemorySaver())
    where: Any = config()
    model_server.script(say("Heard you."), match="from a parent")
    first = await parent.ainvoke(asks("from a parent"), where)
    assert [message.content for message in first["messages"]] == ["from a parent", "Heard you."]
    model_server.script(say("Heard you again."), match="once more")
    second = await parent.ainvoke(asks("once more"), where)
    assert [message.content for message in second["messages"]] == [
        *("from a parent", "Heard you."),
        *("once more", "Heard you again."),
    ]
    remembered = await remote.aget_state(where)
    assert len(remembered.values["messages"]) == 4
