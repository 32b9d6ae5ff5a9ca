"""The graph step, run in a real graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import Principal, RunContext
from core.correlation import correlated
from nodes.llm import CallModel, Catalogue, ChatModel, LLMCaller, Model
from nodes.llm.errors import ModelUnavailable
from nodes.llm.fake import ScriptedModel
from nodes.llm.provider import connect
from nodes.llm.settings import LLMSettings
from tests.unit.nodes.llm.conftest import model
from waystation.testing.model_server import ModelServer, say


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    config: dict[str, Any]
    documents: list[dict[str, Any]]
    files: list[dict[str, Any]]
    summary: str


class Shelf:
    """A toolbox that writes down who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[Principal, Sequence[str], Sequence[str] | None]] = []

    async def schemas(
        self, principal: Principal, servers: Sequence[str], tools: Sequence[str] | None
    ) -> Sequence[dict[str, Any]]:
        self.asked.append((principal, list(servers), tools))
        return [
            {
                "type": "function",
                "function": {"name": "t", "parameters": {"type": "object", "properties": {}}},
            }
        ]


async def turn(
    caller: LLMCaller,
    messages: list[BaseMessage],
    shelf: Shelf | None = None,
    *,
    step: CallModel | None = None,
    **state: Any,
) -> tuple[list[dict[str, Any]], list[BaseMessage]]:
    """The events and the messages of one step."""
    builder = StateGraph(State, context_schema=RunContext)
    builder.add_node("call_model", step or CallModel(caller, shelf or Shelf()))
    builder.add_edge(START, "call_model")
    builder.add_edge("call_model", END)
    events: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    given: Any = {"messages": messages, **state}
    stream: Any = builder.compile().astream(
        given, context=RunContext(user="ada", groups=["staff"]), stream_mode=["custom", "values"]
    )
    async for mode, item in stream:
        if mode == "custom":
            events.append(item)
        else:
            last = item
    return events, last["messages"]


def caller_of(client: ChatModel, *names: str) -> LLMCaller:
    models = {name: model("http://127.0.0.1:9/v1", name, retries=0) for name in names or ("main",)}
    return LLMCaller(Catalogue(models), lambda _: client)


async def test_tokens_and_usage_are_streamed_and_the_message_is_written() -> None:
    shelf, scripted = Shelf(), ScriptedModel("Hello there")
    config = {"model": "main", "servers": ["calc"], "tools": ["calc_add"], "temperature": 0.0}
    events, messages = await turn(caller_of(scripted), [HumanMessage("hi")], shelf, config=config)
    assert events == [
        {"type": "answer", "id": messages[-1].id},
        {"type": "token", "delta": "Hello"},
        {"type": "token", "delta": " there"},
        {"type": "usage", "input_tokens": 1, "output_tokens": 2, "model": "main", "cost": None},
    ]
    assert messages[-1].text == "Hello there"
    assert messages[-1].id
    assert shelf.asked == [(Principal("ada", frozenset({"staff"})), ["calc"], ["calc_add"])]
    assert scripted.tools[0][0]["function"]["name"] == "t"


async def test_passages_and_files_reach_the_model() -> None:
    scripted = ScriptedModel()
    documents = [{"n": 1, "title": "T", "text": "Owls sleep."}]
    await turn(caller_of(scripted), [HumanMessage("hi")], documents=documents, files=[{"name": "a.csv"}])
    system = scripted.seen[0][0].text
    assert "Owls sleep." in system
    assert "a.csv" in system


async def test_reasoning_has_an_event_of_its_own(server: ModelServer) -> None:
    server.script(say("Four.", reasoning="hm"))
    caller = LLMCaller(Catalogue({"main": model(server.url)}), lambda m: connect(m, LLMSettings()))
    events, _ = await turn(caller, [HumanMessage("hi")])
    await caller.aclose()
    assert {"type": "reasoning", "delta": "hm"} in events


async def test_an_unanswered_call_is_repaired_in_request_and_state() -> None:
    dangling = AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "c1", "type": "tool_call"}])
    scripted = ScriptedModel()
    _, messages = await turn(caller_of(scripted), [HumanMessage("a"), dangling, HumanMessage("b")])
    assert [m.type for m in scripted.seen[0]] == ["human", "ai", "tool", "human"]
    repaired = [m for m in messages if isinstance(m, ToolMessage)]
    assert [m.text for m in repaired] == ["interrupted, result unknown"]


async def test_the_offline_model_says_so_once_per_thread() -> None:
    caller = LLMCaller(Catalogue({"offline": Model("offline")}), lambda m: connect(m, LLMSettings()))
    events, messages = await turn(caller, [HumanMessage("hello")])
    assert [e["code"] for e in events if e["type"] == "notice"] == ["offline_model"]
    assert events[-1]["model"] == "offline"
    assert events[-1]["cost"] == 0.0
    events, _ = await turn(caller, [*messages, HumanMessage("hello")])
    assert not [e for e in events if e["type"] == "notice"]


async def test_a_cut_answer_and_a_fallback_are_told(server: ModelServer) -> None:
    server.script(say("x", finish_reason="length"), say("y", finish_reason="content_filter"))
    models = {
        "main": model("http://127.0.0.1:9/v1", retries=0, fallbacks=["spare"]),
        "spare": model(server.url, "spare"),
    }
    caller = LLMCaller(Catalogue(models), lambda m: connect(m, LLMSettings()))
    first, _ = await turn(caller, [HumanMessage("hi")])
    second, _ = await turn(caller, [HumanMessage("hi")], config={"model": "spare"})
    await caller.aclose()
    assert [e["code"] for e in first if e["type"] == "notice"] == ["fallback_model", "answer_cut"]
    assert [e["code"] for e in second if e["type"] == "notice"] == ["content_filter"]


async def test_a_typed_error_leaves_the_step() -> None:
    with pytest.raises(ModelUnavailable, match="gone"):
        await turn(caller_of(ScriptedModel(ModelUnavailable("gone"))), [HumanMessage("hi")])


@pytest.mark.parametrize("notes", [True, False])
async def test_what_is_not_sent_is_told_in_notes_without_a_gap(*, notes: bool) -> None:
    scripted = ScriptedModel("Yes.")
    caller = LLMCaller(Catalogue({"m": Model("m")}), lambda _: scripted)
    said = [message for n in range(3) for message in (HumanMessage(f"Q{n}?"), AIMessage(f"A{n}."))]
    step = CallModel(caller, Shelf(), window=3, notes=notes)
    await turn(caller, [*said, HumanMessage("Now?")], step=step, summary="Asked: Before?\nAnswered: Long.")
    sent = scripted.seen[-1]
    if not notes:
        assert [message.content for message in sent] == ["Q2?", "A2.", "Now?"]
        return
    assert [message.content for message in sent[1:]] == ["Q2?", "A2.", "Now?"]
    notes_sent = ["Before?", "Long.", "Q0?", "A0.", "Q1?", "A1."]
    assert [line.partition(": ")[2] for line in str(sent[0].content).splitlines() if ": " in line][
        -6:
    ] == notes_sent


async def test_m3_1_an_empty_answer_and_an_odd_end_are_told(server: ModelServer) -> None:
    server.script(say(""), say("x", finish_reason="because"))
    caller = LLMCaller(Catalogue({"main": model(server.url)}), lambda m: connect(m, LLMSettings()))
    first, messages = await turn(caller, [HumanMessage("hi")])
    second, _ = await turn(caller, [*messages, HumanMessage(" "), HumanMessage("more")])
    await caller.aclose()
    assert [e["code"] for e in first if e["type"] == "notice"] == ["empty_answer"]
    assert [(e["code"], "'because'" in e["detail"]) for e in second if e["type"] == "notice"] == [
        ("finish_reason", True)
    ]
    assert [m["content"] for m in server.requests()[1]["messages"]] == ["hi", "more"]


async def test_the_client_of_a_model_is_chosen_by_its_entry_or_for_all() -> None:
    url = "http://127.0.0.1:9/v1"
    kinds = [
        type(connect(model(url, client=own), LLMSettings(client=all_of_them))).__name__
        for own, all_of_them in (
            (None, "lean"),
            (None, "langchain"),
            ("langchain", "lean"),
            ("lean", "langchain"),
        )
    ]
    assert kinds == ["ChatEndpoint", "OpenAIModel", "OpenAIModel", "ChatEndpoint"]


async def test_an_answer_that_is_begun_again_is_the_same_message_and_another_runs_is_not() -> None:
    died: list[bool] = []
    step = CallModel(caller_of(ScriptedModel(*["Hello."] * 6)), Shelf())

    async def dies_once(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        found = await step(state, runtime)
        if not died:
            died.append(True)
            raise ConnectionError
        return dict(found)

    builder = StateGraph(State, context_schema=RunContext)
    builder.add_node("call_model", dies_once)
    builder.add_edge(START, "call_model")
    graph = builder.compile(checkpointer=InMemorySaver())

    async def answers(run_id: str, thread: str, *, goes_on: bool = False) -> list[str]:
        config: Any = {"configurable": {"thread_id": thread}}
        said: Any = None if goes_on else {"messages": [HumanMessage("hi", id="m")]}
        found: list[str] = []
        with correlated(run_id=run_id), suppress(ConnectionError):
            async for event in graph.astream(
                said, config, context=RunContext(user="ada"), stream_mode="custom"
            ):
                found += [event["id"]] if event["type"] == "answer" else []
        return found

    first, again = await answers("r_1", "t"), await answers("r_1", "t", goes_on=True)
    assert first == again
    assert (await graph.aget_state({"configurable": {"thread_id": "t"}})).values["messages"][-1].id == first[
        0
    ]
    assert await answers("r_2", "u") != first
    assert await answers("", "v") != await answers("", "w"), "outside of a run it tells nothing"
