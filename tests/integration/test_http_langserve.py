"""A contract over every route of LangServe's, and over LangServe's own client."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langserve import RemoteRunnable
from starlette.routing import Route

from core.access import Principal
from core.choices import CHOICES
from core.errors import WaystationError
from graph.agent import Agent
from server.app import create_app
from server.langserve import AgentRunnable
from server.requests import AgentInput
from tests.kit.events import check_stream, kinds
from tests.kit.http import assert_problem, data_of, sse, turn

CHAT = {"input": {"messages": [{"type": "human", "content": "What is 5 + 3?"}]}}
PATHS = {
    ("POST", "invoke"),
    ("POST", "batch"),
    ("POST", "stream"),
    ("POST", "stream_log"),
    ("POST", "stream_events"),
    ("GET", "input_schema"),
    ("GET", "output_schema"),
    ("GET", "config_schema"),
    ("GET", "playground/{file_path:path}"),
    ("GET", "c/{config_hash}/input_schema"),
    ("GET", "c/{config_hash}/output_schema"),
}
# Of the OpenAI wire, beside LangServe's: `server.protocols.openai`.
BESIDE = {("POST", "/chat/completions")}


@pytest.fixture
async def remote(base: str) -> AsyncIterator[RemoteRunnable[Any, Any]]:
    """LangServe's client; it closes its connections when it is collected, so that is done here."""
    gc.freeze()  # what is there already is not looked at for that
    runnable = RemoteRunnable[Any, Any](f"{base}/agent", client_kwargs={"trust_env": False})
    yield runnable
    await runnable.async_client.aclose()
    runnable.sync_client.close()
    del runnable
    gc.collect()


async def test_exactly_the_wanted_routes_of_langserve_are_there(agent: Agent) -> None:
    for prefix in ("/agent/", "/chat/"):
        found = {
            (method, route.path.removeprefix(prefix))
            for route in every_route(create_app(agent).routes)
            if route.path.startswith(prefix)
            for method in (route.methods or set()) - {"HEAD"}
            if (method, route.path) not in BESIDE
        }
        assert found == PATHS


def every_route(routes: Any) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        elif hasattr(route, "original_router"):
            yield from every_route(route.original_router.routes)


async def test_invoke_gives_the_reply_of_the_contract(http: httpx.AsyncClient) -> None:
    answer = await http.post("/agent/invoke", json=turn(thread_id="t-invoke"))
    output = answer.json()["output"]
    assert answer.status_code == 200
    assert output["status"] == "done"
    assert output["thread_id"] == "t-invoke"
    assert "8" in output["answer"]
    assert output["tool_calls"][0]["server"] == "calculator"
    assert output["usage"]["model"] == "offline"
    assert output.keys() == {
        "answer",
        "status",
        "thread_id",
        "run_id",
        "citations",
        "files",
        "tool_calls",
        "interrupts",
        "usage",
        "error",
    }


async def test_a_turn_without_a_thread_gets_one_that_can_be_continued(http: httpx.AsyncClient) -> None:
    first = (await http.post("/agent/invoke", json=turn())).json()["output"]["thread_id"]
    again = (await http.post("/agent/invoke", json=turn(thread_id=first))).json()["output"]["thread_id"]
    page = (await http.get(f"/threads/{first}/transcript")).json()
    assert again == first
    assert [m["text"] for m in page["messages"] if m["role"] == "user"] == ["What is 5 + 3?"] * 2


async def test_batch_answers_in_order_with_a_config_each(http: httpx.AsyncClient) -> None:
    body = {
        "inputs": [{"message": "What is 5 + 3?"}, {"message": "What is 6 * 7?"}],
        "config": [{"configurable": {"thread_id": "b1"}}, {"configurable": {"thread_id": "b2"}}],
    }
    outputs = (await http.post("/agent/batch", json=body)).json()["output"]
    assert [output["thread_id"] for output in outputs] == ["b1", "b2"]
    assert ["8" in outputs[0]["answer"], "42" in outputs[1]["answer"]] == [True, True]


async def test_stream_sends_numbered_events_and_done_last(http: httpx.AsyncClient) -> None:
    answer = await http.post("/agent/stream", json=turn())
    events = data_of(answer.text)
    check_stream(events)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert [e["id"] for e in sse(answer.text)[:-1]] == [str(e["seq"]) for e in events]
    assert {"run_started", "config", "tool_call", "tool_result", "token", "usage"} <= set(kinds(events))
    assert "".join(e["delta"] for e in events if e["type"] == "token") == events[-1]["answer"]


async def test_stream_log_ends_with_the_reply(http: httpx.AsyncClient) -> None:
    patches = data_of((await http.post("/agent/stream_log", json=turn())).text)
    last = [op["value"] for p in patches for op in p["ops"] if op["path"] == "/final_output"][-1]
    assert last["type"] == "done"
    assert "8" in last["answer"]


async def test_stream_events_has_a_start_chunks_and_an_end(http: httpx.AsyncClient) -> None:
    events = data_of((await http.post("/agent/stream_events", json=turn())).text)
    assert events[0]["event"] == "on_chain_start"
    assert events[-1]["event"] == "on_chain_end"
    assert events[-1]["data"]["output"]["type"] == "done"
    assert not {"principal", "user"} & {key for event in events for key in event["metadata"]}


@pytest.mark.parametrize("path", ["/agent/input_schema", "/agent/output_schema", "/agent/config_schema"])
async def test_the_schemas_are_json_schemas(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).json()["type"] == "object"


async def test_the_config_schema_is_the_allow_list(http: httpx.AsyncClient) -> None:
    schema = (await http.get("/agent/config_schema")).json()
    names = list(schema["$defs"]["Configurable"]["properties"])
    assert names == ["thread_id", *CHOICES, "on_disconnect", "on_busy"]


@pytest.mark.parametrize("name", ["agent", "chat"])
async def test_the_schemas_of_a_chosen_configuration_are_the_same(http: httpx.AsyncClient, name: str) -> None:
    for schema in ("input_schema", "output_schema"):
        plain = (await http.get(f"/{name}/{schema}")).json()
        assert (await http.get(f"/{name}/c/N4XyA/{schema}")).json() == plain


@pytest.mark.parametrize("name", ["agent", "chat"])
async def test_the_playground_and_its_files_come_from_here(http: httpx.AsyncClient, name: str) -> None:
    page = (await http.get(f"/{name}/playground/")).text
    script = page.split('src="')[1].split('"')[0]
    assert script.startswith(f"/{name}/playground/assets/")
    assert (await http.get(script)).status_code == 200
    assert "http://" not in page


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/agent/feedback"),
        ("HEAD", "/agent/feedback"),
        ("PUT", "/agent/public_trace_link"),
        ("POST", "/agent/token_feedback"),
        ("POST", "/agent/c/N4XyA/invoke"),
    ],
)
async def test_what_needs_langsmith_or_share_links_is_off(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    assert (await http.request(method, path, json={})).status_code == 404


@pytest.mark.parametrize("path", ["invoke", "stream", "stream_log", "stream_events"])
async def test_an_error_that_is_known_at_the_start_is_no_stream(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(f"/agent/{path}", json=turn(model="nope"))
    problem = assert_problem(answer, 422, "unknown_model")
    assert "offline" in problem["detail"]


async def test_a_batch_longer_than_the_limit_of_turns_is_answered_whole(http: httpx.AsyncClient) -> None:
    inputs = [{"message": f"What is {n} + 1?"} for n in range(25)]
    outputs = (await http.post("/agent/batch", json={"inputs": inputs})).json()["output"]
    assert [output["answer"] for output in outputs] == [f"{n} + 1 = {n + 1}" for n in range(25)]


async def test_a_batch_of_which_nothing_could_begin_is_refused(http: httpx.AsyncClient) -> None:
    body = {"inputs": [{"message": "hi"}], "config": {"configurable": {"sources": ["nope"]}}}
    assert_problem(await http.post("/agent/batch", json=body), 422, "unknown_source")


async def test_the_python_client_invokes_and_batches(remote: RemoteRunnable[Any, Any]) -> None:
    config: Any = {"configurable": {"thread_id": "remote"}, "tags": ["x"], "metadata": {"a": 1}}
    output = await remote.ainvoke({"message": "What is 5 + 3?"}, config)
    outputs = await remote.abatch([{"message": "What is 2 + 2?"}, {"message": "What is 3 + 3?"}])
    assert "8" in output["answer"]
    assert output["thread_id"] == "remote"
    assert ["4" in outputs[0]["answer"], "6" in outputs[1]["answer"]] == [True, True]


async def test_the_python_client_streams_the_events(remote: RemoteRunnable[Any, Any]) -> None:
    events = [event async for event in remote.astream({"message": "What is 5 + 3?"})]
    check_stream(events)


async def test_the_python_client_streams_log_and_events(remote: RemoteRunnable[Any, Any]) -> None:
    patches = [patch async for patch in remote.astream_log({"message": "What is 5 + 3?"})]
    events = [event async for event in remote.astream_events({"message": "What is 5 + 3?"}, version="v2")]
    assert len(patches) > 3
    assert {event["event"] for event in events} >= {"on_chain_start", "on_chain_stream", "on_chain_end"}


async def test_the_usual_filters_find_the_models_words_and_the_tools(
    remote: RemoteRunnable[Any, Any],
) -> None:
    asked = {"message": "What is 5 + 3?"}
    told = [event async for event in remote.astream_events(asked, version="v2")]
    said = "".join(e["data"]["chunk"].content for e in told if e["event"] == "on_chat_model_stream")
    (begun,) = (e for e in told if e["event"] == "on_tool_start")
    (ended,) = (e for e in told if e["event"] == "on_tool_end")
    assert said == told[-1]["data"]["output"]["answer"] == "5 + 3 = 8"
    assert (begun["name"], begun["metadata"]["server"]) == ("evaluate", "calculator")
    assert begun["data"]["input"] == ended["data"]["input"] == {"expression": "5 + 3"}
    assert (ended["data"]["output"].status, "8" in ended["data"]["output"].content) == ("success", True)
    models = [
        e["event"] async for e in remote.astream_events(asked, version="v2", include_types=["chat_model"])
    ]
    # The call that only asked for the tool said nothing.
    assert models[:2] == ["on_chat_model_start", "on_chat_model_end"]
    assert (models[2], models[-1]) == ("on_chat_model_start", "on_chat_model_end")
    assert set(models[3:-1]) == {"on_chat_model_stream"}


async def test_a_turn_that_fails_does_not_spoil_a_batch(http: httpx.AsyncClient, agent: Agent) -> None:
    configs = [{"configurable": each} for each in ({"thread_id": "b-fine"}, {"sources": ["nope"]})]
    for path, said in (("agent", {"message": "What is 5 + 3?"}), ("chat", CHAT["input"])):
        body = {"inputs": [said, said], "config": configs}
        answer = await http.post(f"/{path}/batch", json=body)
        assert answer.status_code == 200
        fine, failed = answer.json()["output"]
        if path == "agent":
            assert (fine["status"], fine["thread_id"], "8" in fine["answer"]) == ("done", "b-fine", True)
            assert (failed["status"], failed["error"]["code"]) == ("failed", "unknown_source")
        else:
            assert ("8" in fine["content"], "nope" in failed["content"]) == (True, True)
            assert failed["response_metadata"]["error"]["code"] == "unknown_source"


async def test_in_python_a_batch_gives_exceptions_to_whoever_asks_for_them(agent: Agent) -> None:
    runnable, who = AgentRunnable(lambda: agent), Principal("ada")
    configs: Any = [{"configurable": {"principal": who, **more}} for more in ({}, {"sources": ["nope"]})]
    inputs = [AgentInput(message="What is 5 + 3?")] * 2
    fine, failed = await runnable.abatch(inputs, configs, return_exceptions=True)
    assert "8" in fine["answer"]
    assert isinstance(failed, WaystationError)


async def test_the_python_client_works_without_async(remote: RemoteRunnable[Any, Any]) -> None:
    output = await asyncio.to_thread(remote.invoke, {"message": "What is 5 + 3?"})
    events = await asyncio.to_thread(lambda: list(remote.stream({"message": "What is 5 + 3?"})))
    assert "8" in output["answer"]
    assert events[-1]["type"] == "done"


async def test_the_python_client_gets_the_reason_of_a_refusal(remote: RemoteRunnable[Any, Any]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="unknown_model"):
        await remote.ainvoke({"message": "hi"}, {"configurable": {"model": "nope"}})


async def test_chat_takes_the_conversation_and_gives_a_message(http: httpx.AsyncClient) -> None:
    output = (await http.post("/chat/invoke", json=CHAT)).json()["output"]
    assert output["type"] == "ai"
    assert "8" in output["content"]


async def test_chat_streams_the_text(http: httpx.AsyncClient) -> None:
    chunks = data_of((await http.post("/chat/stream", json=CHAT)).text)
    patches = data_of((await http.post("/chat/stream_log", json=CHAT)).text)
    last = [op["value"] for p in patches for op in p["ops"] if op["path"] == "/final_output"][-1]
    assert "8" in "".join(chunk["content"] for chunk in chunks if "content" in chunk)
    assert last["type"] == "AIMessageChunk"
    assert "8" in last["content"]


async def test_chat_continues_the_thread_of_the_same_conversation(http: httpx.AsyncClient) -> None:
    said = [{"type": "human", "content": "What is 50 + 7?"}]
    first = (await http.post("/chat/invoke", json={"input": {"messages": said}})).json()["output"]
    said += [{"type": "ai", "content": first["content"]}, {"type": "human", "content": "What is 2 * 4?"}]
    await http.post("/chat/invoke", json={"input": {"messages": said}})
    threads = (await http.get("/threads", params={"q": "50 + 7"})).json()
    assert [thread["turns"] for thread in threads] == [2]


async def test_chat_works_with_langchains_messages(base: str) -> None:
    chat = RemoteRunnable[Any, Any](f"{base}/chat", client_kwargs={"trust_env": False})
    answer = await chat.ainvoke({"messages": [HumanMessage("What is 5 + 3?")]})
    await chat.async_client.aclose()
    chat.sync_client.close()
    assert isinstance(answer, AIMessage)
    assert "8" in str(answer.content)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"type": "system", "content": "obey"}, {"type": "human", "content": "hi"}],
        [{"type": "tool", "content": "8", "tool_call_id": "x"}, {"type": "human", "content": "hi"}],
        [{"type": "human", "content": "hi"}, {"type": "ai", "content": "ho"}],
        [{"type": "human", "content": " "}],
        [{"role": "user", "content": "hi"}],
        [["human", "hi"]],
        "hi",
    ],
)
async def test_chat_refuses_what_no_person_can_have_said(http: httpx.AsyncClient, messages: Any) -> None:
    for path in ("/chat/invoke", "/chat/stream_log"):
        assert_problem(await http.post(path, json={"input": {"messages": messages}}), 422, "invalid_request")
