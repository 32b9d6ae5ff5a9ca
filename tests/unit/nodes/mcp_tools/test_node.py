"""The step `execute_tools` in a small real graph: events, approvals, messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send
from typing_extensions import TypedDict

from core.access import RunContext
from nodes.mcp_tools.calls import NoReceipts
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeLinks
from nodes.mcp_tools.node import ExecuteTools
from waystation.testing.mcp_servers import managed, peer

Graph = CompiledStateGraph[Any, RunContext, Any, Any]
THREAD: RunnableConfig = {"configurable": {"thread_id": "t1"}}


def _add(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*left, *right]


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    artifacts: Annotated[list[dict[str, Any]], _add]
    calls: list[dict[str, Any]]
    config: dict[str, Any]
    files: list[dict[str, Any]]


def _spread(state: State) -> list[Send]:
    shared = {"config": state["config"], "files": state["files"]}
    return [Send("execute_tools", {"call": call, **shared}) for call in state["calls"]]


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[Graph]:
    servers = {"peer": peer(), "careful": peer(require_approval=["*"], fill_username=True)}
    async with managed(servers, tmp_path) as manager:
        builder = StateGraph(State, context_schema=RunContext)
        builder.add_node("execute_tools", ExecuteTools(ToolExecutor(manager, FakeLinks()), NoReceipts()))
        builder.add_conditional_edges(START, _spread, ["execute_tools"])
        builder.add_edge("execute_tools", END)
        yield builder.compile(checkpointer=InMemorySaver())


def turn(*calls: tuple[str, dict[str, Any]], approval: str = "ask") -> dict[str, Any]:
    return {
        "messages": [],
        "artifacts": [],
        "calls": [{"id": f"c{n}", "name": name, "args": args} for n, (name, args) in enumerate(calls)],
        "config": {"servers": ["peer", "careful"], "tools": None, "approval": approval},
        "files": [],
    }


async def events_of(graph: Graph, given: Any) -> list[dict[str, Any]]:
    return [event async for event in graph.astream(given, THREAD, stream_mode="custom", context=RunContext())]


async def messages_of(graph: Graph) -> list[ToolMessage]:
    found: list[ToolMessage] = (await graph.aget_state(THREAD)).values["messages"]
    return found


async def test_a_call_tells_its_start_its_progress_and_its_result(graph: Graph) -> None:
    events = await events_of(graph, turn(("peer_progress", {"steps": 2})))
    assert [event["type"] for event in events] == [
        "tool_call",
        "tool_progress",
        "tool_progress",
        "tool_result",
    ]
    assert events[0] == {
        "type": "tool_call",
        "id": "c0",
        "server": "peer",
        "tool": "progress",
        "arguments": {"steps": 2},
    }
    assert events[1]["message"] == "step 1"
    assert {key: events[3][key] for key in ("id", "status", "content", "files")} == {
        "id": "c0",
        "status": "ok",
        "content": "finished",
        "files": [],
    }


async def test_a_message_answers_the_call_and_carries_the_record(graph: Graph) -> None:
    await events_of(graph, turn(("peer_v2", {})))
    (message,) = await messages_of(graph)
    assert (message.tool_call_id, message.name, message.id) == ("c0", "peer_v2", "tool-c0")
    assert message.status == "success"
    record = message.additional_kwargs["waystation"]
    assert (record["server"], record["tool"], record["status"]) == ("peer", "v2", "ok")
    assert (record["files"], record["arguments"]) == (["total.csv"], {})
    (artifact,) = (await graph.aget_state(THREAD)).values["artifacts"]
    assert artifact == {"id": "c0-1", "name": "total.csv", "media_type": "text/csv", "b64": "dG90YWwKNDIK"}


async def test_several_calls_run_each_with_its_own_outcome(graph: Graph) -> None:
    await events_of(graph, turn(("peer_echo", {"text": "a"}), ("peer_fail", {}), ("nope", {})))
    found = {message.tool_call_id: message for message in await messages_of(graph)}
    assert [found[f"c{n}"].status for n in range(3)] == ["success", "error", "error"]


async def test_a_display_travels_with_the_result(graph: Graph) -> None:
    events = await events_of(graph, turn(("peer_v2", {})))
    assert events[-1]["display"] == {"open_canvas": True, "primary_file": "total.csv"}


async def test_a_tool_that_needs_a_word_pauses_before_it_tells_anything(graph: Graph) -> None:
    assert await events_of(graph, turn(("careful_echo", {"text": "x"}))) == []
    (pause,) = (await graph.aget_state(THREAD)).interrupts
    assert pause.value["kind"] == "approval"
    assert pause.value["call"] == {
        "id": "c0",
        "server": "careful",
        "tool": "echo",
        "arguments": {"text": "x"},
    }


@pytest.mark.parametrize("answer", [True, {"approve": True}])
async def test_an_approved_call_runs_once(graph: Graph, answer: Any) -> None:
    await events_of(graph, turn(("careful_echo", {"text": "x"})))
    events = await events_of(graph, Command(resume=answer))
    assert [event["type"] for event in events] == ["tool_call", "tool_result"]
    (message,) = await messages_of(graph)
    assert (message.content, message.status) == ("x", "success")


async def test_a_refused_call_does_not_run_and_says_why(graph: Graph) -> None:
    await events_of(graph, turn(("careful_echo", {"text": "x"})))
    events = await events_of(graph, Command(resume={"approve": False, "reason": "too risky"}))
    assert events[-1]["status"] == "denied"
    (message,) = await messages_of(graph)
    assert (message.content, message.status) == ("denied: too risky", "error")
    assert message.additional_kwargs["waystation"]["status"] == "denied"


async def test_st2_an_edited_call_runs_as_edited_and_the_model_hears_of_it(graph: Graph) -> None:
    await events_of(graph, turn(("careful_echo", {"text": "x"})))
    edit = {"type": "edit", "edited_action": {"name": "careful_echo", "args": {"text": "y"}}}
    events = await events_of(graph, Command(resume={"decisions": [edit]}))
    decision = {"type": "edit", "by": "local", "before": {"text": "x"}, "after": {"text": "y"}}
    assert (events[0]["arguments"], events[0]["decision"]) == ({"text": "y"}, decision)
    assert (events[1]["status"], events[1]["content"]) == ("ok", "y")
    (message,) = await messages_of(graph)
    assert message.content == ('A person changed this call on purpose. It was made with {"text": "y"}.\n\ny')
    record = message.additional_kwargs["waystation"]
    assert (record["arguments"], record["decision"]) == ({"text": "y"}, decision)


async def test_st2_a_person_may_answer_in_the_tools_place(graph: Graph) -> None:
    await events_of(graph, turn(("careful_crash", {})))
    events = await events_of(graph, Command(resume={"type": "respond", "message": "It is 8."}))
    assert (events[-1]["status"], events[-1]["content"]) == ("answered", "It is 8.")
    (message,) = await messages_of(graph)
    assert (message.content, message.status) == ("It is 8.", "success")
    assert message.additional_kwargs["waystation"]["decision"] == {"type": "respond", "by": "local"}


async def test_an_edit_that_does_not_fit_the_tool_leaves_the_question_open(graph: Graph) -> None:
    await events_of(graph, turn(("careful_read", {"filename": "a.csv"})))
    for wrong, says in (
        ({"filename": 3}, "3 is not of type 'string'"),
        ({"filename": "https://example.test/a"}, "no file of this thread"),
        ({}, "'filename' is a required property"),
    ):
        assert await events_of(graph, Command(resume={"approve": True, "arguments": wrong})) == []
        (pause,) = (await graph.aget_state(THREAD)).interrupts
        assert says in pause.value["problem"]
    events = await events_of(graph, Command(resume={"approve": False}))
    assert events[-1]["status"] == "denied"


async def test_an_edit_cannot_say_whose_call_it_is(graph: Graph) -> None:
    await events_of(graph, turn(("careful_whoami", {})))
    (pause,) = (await graph.aget_state(THREAD)).interrupts
    assert pause.value["review_configs"][0]["args_schema"]["properties"] == {}
    edit = {"approve": True, "arguments": {"_atlas_user": "boss", "username": "boss"}}
    events = await events_of(graph, Command(resume=edit))
    assert json.loads(events[-1]["content"]) == {"_atlas_user": "local", "username": "local"}
    assert events[0]["arguments"] == {}


async def test_g6_a_run_may_refuse_for_the_person_and_not_approve(graph: Graph) -> None:
    assert await events_of(graph, turn(("careful_echo", {"text": "x"}), approval="auto")) == []
    (pause,) = (await graph.aget_state(THREAD)).interrupts
    assert pause.value["kind"] == "approval"
    other: RunnableConfig = {"configurable": {"thread_id": "t2"}}
    denied = turn(("careful_echo", {"text": "x"}), approval="deny")
    events = [e async for e in graph.astream(denied, other, stream_mode="custom", context=RunContext())]
    assert events[-1]["status"] == "denied"
