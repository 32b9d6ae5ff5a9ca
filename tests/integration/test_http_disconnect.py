"""What a dropped connection, a busy thread and a slow model do over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import assert_problem, client_of, turn
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, hang, say


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> AsyncIterator[Agent]:
    limits, mcp = {"streams_per_user": 3}, {"bundled": False}
    async with open_agent(
        tmp_path_factory.mktemp("slow"), model_url=model.url, limits=limits, mcp=mcp
    ) as agent:
        yield agent


@pytest.fixture(autouse=True)
def _reset(model: ModelServer) -> None:
    model.reset()


async def status_becomes(http: httpx.AsyncClient, thread: str, wanted: str) -> None:
    async with asyncio.timeout(20):
        found = ""
        while found != wanted:
            found = (await http.get(f"/threads/{thread}")).json().get("status")


async def begun(answer: httpx.Response) -> AsyncIterator[str]:
    """The stream's lines, of which the first has come. Dropping the iterator closes the connection."""
    lines = answer.aiter_lines()
    await anext(lines)
    return lines


@pytest.mark.parametrize("path", ["stream", "stream_log", "stream_events"])
async def test_a_dropped_stream_cancels_its_turn(
    http: httpx.AsyncClient, model: ModelServer, path: str
) -> None:
    model.script(hang())
    thread = f"dropped-{path}"
    async with http.stream("POST", f"/agent/{path}", json=turn("wait", thread_id=thread)) as answer:
        lines = await begun(answer)  # noqa: F841 - held, or the connection closes
        await asyncio.to_thread(model.wait_for_active, 1)
    await status_becomes(http, thread, "idle")
    await asyncio.to_thread(model.wait_for_active, 0)


async def test_a_dropped_stream_may_go_on(http: httpx.AsyncClient, model: ModelServer) -> None:
    model.script({**hang(), "text": "All the same."})
    body = turn("wait", thread_id="goes-on", on_disconnect="continue")
    async with http.stream("POST", "/agent/stream", json=body) as answer:
        lines = await begun(answer)  # noqa: F841 - held, or the connection closes
        await asyncio.to_thread(model.wait_for_active, 1)
    assert (await http.get("/threads/goes-on")).json()["status"] == "running"
    model.release()
    await status_becomes(http, "goes-on", "idle")
    messages = (await http.get("/threads/goes-on/transcript")).json()["messages"]
    assert messages[-1]["text"] == "All the same."


async def test_a_dropped_invoke_cancels_its_turn_too(
    base: str, http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    async with client_of(base) as other:
        asking = asyncio.create_task(
            other.post("/agent/invoke", json=turn("wait", thread_id="dropped-invoke"))
        )
        await asyncio.to_thread(model.wait_for_active, 1)
        asking.cancel()
    await status_becomes(http, "dropped-invoke", "idle")
    await asyncio.to_thread(model.wait_for_active, 0)


async def test_a_second_message_while_a_run_is_going_gets_409(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    async with http.stream("POST", "/agent/stream", json=turn("wait", thread_id="busy")) as answer:
        lines = await begun(answer)  # noqa: F841 - held, or the connection closes
        for path in ("invoke", "stream", "stream_log", "stream_events"):
            second = await http.post(f"/agent/{path}", json=turn("me too", thread_id="busy"))
            assert_problem(second, 409, "thread_busy")
        assert_problem(await http.delete("/threads/busy"), 409, "thread_busy")
    await status_becomes(http, "busy", "idle")


async def test_a_user_may_have_only_so_many_turns_at_once(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang(), hang(), hang())
    asking = [asyncio.create_task(http.post("/agent/invoke", json=turn("wait"))) for _ in range(3)]
    await asyncio.to_thread(model.wait_for_active, 3)
    answer = await http.post("/agent/stream", json=turn())
    assert_problem(answer, 429, "too_many_runs")
    assert answer.headers["retry-after"] == "1"
    model.release()
    assert [task.status_code for task in await asyncio.gather(*asking)] == [200, 200, 200]


async def test_tokens_arrive_before_the_answer_is_done(http: httpx.AsyncClient, model: ModelServer) -> None:
    model.script(say("one two three", hang_after=2))
    texts = []
    async with http.stream("POST", "/agent/stream", json=turn("count")) as answer:
        async for line in answer.aiter_lines():
            event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if event.get("type") == "token":
                texts.append(event["delta"])
                if len(texts) == 2:
                    model.release()
    assert "".join(texts) == "one two three"


async def test_a_failed_turn_has_its_status_and_its_typed_last_event(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(say("half an answer", cut_after=1), say("half an answer", cut_after=1))
    refused = await http.post("/agent/invoke", json=turn("x"))
    streamed = await http.post("/agent/stream", json=turn("x"))
    code = assert_problem(refused, 502)["code"]
    events = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert streamed.status_code == 200
    assert (events[-1]["type"], events[-1]["code"]) == ("error", code)
    assert streamed.text.endswith("event: end\n\n")
