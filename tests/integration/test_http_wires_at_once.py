"""Several clients at once on one thread, over the wires of other people: nothing of it is a fault of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from graph.agent import Agent
from tests.kit.langgraph import turn_of
from tests.kit.mcp import FORMS, New
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, say

ROOT = "/langgraph"
AT_ONCE = 4


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str], _model_server: ModelServer
) -> AsyncIterator[Agent]:
    folder = tmp_path_factory.mktemp("at-once")
    asks = {"mcp.json": '{"calculator": {"require_approval": ["*"]}}'}
    limits = {"streams_per_user": 200}
    opened: Any = {"storage": storage, "files": asks, "limits": limits}
    async with open_agent(folder, model_url=_model_server.url, **opened) as agent:
        yield agent


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    return str((await http.post(f"{ROOT}/threads", json={})).json()["thread_id"])


async def roles_on(http: httpx.AsyncClient, thread: str) -> list[str]:
    page = (await http.get(f"/threads/{thread}/transcript")).json()
    return [message["role"] for message in page["messages"]]


async def test_runs_that_take_each_other_back_leave_a_thread_that_goes_on(
    http: httpx.AsyncClient, thread: str
) -> None:
    path = f"{ROOT}/threads/{thread}/runs/wait"
    strategies = ["rollback", "enqueue", "interrupt", "reject"] * AT_ONCE
    bodies = [turn_of(f"at once {n}", multitask_strategy=one) for n, one in enumerate(strategies)]
    answers = await asyncio.gather(*(http.post(path, json=body) for body in bodies))
    assert {answer.status_code for answer in answers} <= {200, 404, 409}, [a.text for a in answers]
    last = await http.post(path, json=turn_of("and now alone"))
    assert last.json()["messages"][-2]["content"] == "and now alone"
    assert (await http.get(f"{ROOT}/threads/{thread}")).json()["status"] == "idle"


async def test_a_question_that_is_answered_over_every_wire_at_once_is_answered_once(
    http: httpx.AsyncClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), say("Eight."), match="answer me")
    state = (await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=turn_of("answer me"))).json()
    (asked,) = state["__interrupt__"]
    (run,) = (await http.get(f"/threads/{thread}/runs")).json()
    task, yes = run["run_id"], {"approve": True}
    resume = {"assistant_id": "waystation", "command": {"resume": yes}}
    said = {"messageId": "m", "role": "ROLE_USER", "taskId": task, "parts": [{"text": "approve"}]}
    sent = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": said}}
    answer = {"interruptId": asked["id"], "status": "resolved", "payload": yes}
    page = {"threadId": thread, "runId": "r", "messages": [], "resume": [answer]}
    ways: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: http.post(f"{ROOT}/threads/{thread}/runs/wait", json=resume),
        lambda: http.post("/a2a", json=sent),
        lambda: http.post("/ag-ui", json=page),
        lambda: http.post(f"/runs/{task}/resume", json={"resume": yes}),
    ]
    answers = await asyncio.gather(*(way() for way in ways * AT_ONCE))
    assert {answer.status_code for answer in answers} <= {200, 202, 409}, [a.text for a in answers]
    await http.get(f"/runs/{task}/wait")
    assert await roles_on(http, thread) == ["user", "assistant", "tool", "assistant"]


async def test_threads_that_are_deleted_under_their_readers_end_their_streams(
    http: httpx.AsyncClient, model_server: ModelServer
) -> None:
    for number in range(AT_ONCE):
        thread = (await http.post(f"{ROOT}/threads", json={})).json()["thread_id"]
        model_server.script(say("One two three.", hang_after=number % 3), match=f"deleted {number}")
        body = turn_of(f"deleted {number}", stream_mode=["values", "messages-tuple"])
        reading = [
            asyncio.create_task(http.post(f"{ROOT}/threads/{thread}/runs/stream", json=body)),
            asyncio.create_task(New(http, **FORMS).post("tools/call", asks_on(thread))),
        ]
        await asyncio.to_thread(model_server.wait_for_active, 1, seconds=60)
        gone = await http.delete(f"{ROOT}/threads/{thread}")
        model_server.release()
        answers = await asyncio.gather(*reading)
        assert {answer.status_code for answer in [gone, *answers]} <= {200, 204, 404, 409}
        assert all("unforeseen" not in answer.text for answer in answers)
        await http.delete(f"{ROOT}/threads/{thread}")


def asks_on(thread: str) -> dict[str, Any]:
    return {"name": "ask", "arguments": {"message": "and I?", "thread_id": thread, "on_busy": "enqueue"}}
