"""Runs of the LangGraph wire that are taken back, and those that begin later, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError

from core.access import Principal
from graph.agent import Agent
from graph.threads.finder import ThreadQuery
from tests.kit.http import served
from tests.kit.langgraph import GRAPH, asks, texts
from tests.kit.task_queues import eventually
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, hang, say

LOCAL = Principal("local")
INSTEAD: Any = {"multitask_strategy": "rollback"}


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str], _model_server: ModelServer
) -> AsyncIterator[Agent]:
    environ = {"OPENAI_BASE_URL": _model_server.url, "OPENAI_API_KEY": "test"}
    folder = tmp_path_factory.mktemp("later")
    async with Agent.open(
        context_at(folder, environ=environ, tools=(), storage=storage), worker=True
    ) as agent:
        yield agent


@pytest.fixture(scope="module")
async def sdk(agent: Agent) -> AsyncIterator[LangGraphClient]:
    async with served(agent) as base, get_client(url=f"{base}/langgraph", api_key=None) as client:
        yield client


@pytest.fixture
async def thread(sdk: LangGraphClient) -> str:
    return str((await sdk.threads.create())["thread_id"])


async def going(sdk: LangGraphClient, thread: str, model: ModelServer, text: str) -> str:
    """A run whose model has said nothing yet."""
    model.script(hang(), match=text)
    run = await sdk.runs.create(thread, GRAPH, input=asks(text))
    await asyncio.to_thread(model.wait_for_active, 1, seconds=60)
    return run["run_id"]


async def said(sdk: LangGraphClient, thread: str, model: ModelServer, text: str, **more: Any) -> list[str]:
    """The messages of the thread after a turn."""
    model.script(say(f"to {text}"), match=text)
    return texts(await sdk.runs.wait(thread, GRAPH, input=asks(text), **more))


async def test_a_run_is_taken_back_for_another(
    agent: Agent, sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    await going(sdk, thread, model_server, "the first")
    assert await said(sdk, thread, model_server, "instead", **INSTEAD) == ["instead", "to instead"]
    await going(sdk, thread, model_server, "the second")
    before = ["instead", "to instead"]
    assert await said(sdk, thread, model_server, "better", **INSTEAD) == [*before, "better", "to better"]
    page = await agent.threads.transcript(LOCAL, thread)
    assert [message["role"] for message in page["messages"]] == ["user", "assistant"] * 2

    async def are_forgotten() -> bool:
        return len(await sdk.runs.list(thread)) == 2

    await eventually(are_forgotten)
    # With nothing to take back it is a run like any other.
    assert await said(sdk, thread, model_server, "more", **INSTEAD) == [
        *(*before, "better", "to better"),
        *("more", "to more"),
    ]


async def test_a_run_is_taken_back_for_nothing(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    before = await said(sdk, thread, model_server, "stays")
    run = await going(sdk, thread, model_server, "never mind")
    await sdk.runs.cancel(thread, run, action="rollback")
    state: Any = await sdk.threads.get_state(thread)
    assert texts(state["values"]) == before
    assert (await sdk.threads.get(thread))["status"] == "idle"
    with pytest.raises(NotFoundError):
        await sdk.runs.get(thread, run)
    assert await said(sdk, thread, model_server, "go on") == [*before, "go on", "to go on"]


async def test_a_thread_whose_first_run_is_taken_back_is_empty_again(
    agent: Agent, sdk: LangGraphClient, model_server: ModelServer
) -> None:
    key = str(uuid4())
    model_server.script(hang(), match="never said")
    created: Any = {"if_not_exists": "create"}
    run = await sdk.runs.create(key, GRAPH, input=asks("never said"), **created)
    await asyncio.to_thread(model_server.wait_for_active, 1, seconds=60)
    await sdk.runs.cancel(key, run["run_id"], action="rollback")
    state: Any = await sdk.threads.get_state(key)
    assert (texts(state["values"]), state["next"], state["interrupts"]) == ([], [], [])
    row = await agent.threads.get(LOCAL, key)
    assert (row["status"], row["turns"], row["title"]) == ("idle", 0, "")
    assert (await agent.threads.transcript(LOCAL, key))["messages"] == []
    assert await sdk.runs.list(key) == []
    assert await said(sdk, key, model_server, "go on") == ["go on", "to go on"]
    assert (await agent.threads.get(LOCAL, key))["turns"] == 1


async def test_a_first_run_is_taken_back_at_any_moment(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    for _ in range(5):
        model_server.script(hang(), match="at once")
        run = await sdk.runs.create(thread, GRAPH, input=asks("at once"))
        await sdk.runs.cancel(thread, run["run_id"], action="rollback")
        state: Any = await sdk.threads.get_state(thread)
        assert texts({"messages": state["values"].get("messages", [])}) == []
        assert (await sdk.threads.get(thread))["status"] == "idle"


async def test_a_first_run_is_taken_back_for_another_at_any_moment(
    sdk: LangGraphClient, model_server: ModelServer
) -> None:
    for _ in range(5):
        thread = str((await sdk.threads.create())["thread_id"])
        model_server.script(hang(), match="at once")
        await sdk.runs.create(thread, GRAPH, input=asks("at once"))
        assert await said(sdk, thread, model_server, "instead", **INSTEAD) == ["instead", "to instead"]


async def test_several_runs_are_taken_back_and_those_that_are_over_stay(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    before = await said(sdk, thread, model_server, "stays")
    (over,) = await sdk.runs.list(thread)
    run = await going(sdk, thread, model_server, "never mind")
    waits = await sdk.runs.create(thread, GRAPH, input=asks("in line"))
    ids = [over["run_id"], waits["run_id"], run]
    await sdk.runs.cancel_many(thread_id=thread, run_ids=ids, action="rollback")
    state: Any = await sdk.threads.get_state(thread)
    assert texts(state["values"]) == before
    assert [left["run_id"] for left in await sdk.runs.list(thread)] == [over["run_id"]]


async def test_a_run_begins_when_its_time_has_come_and_others_go_past_it(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(say("at last"), match="later")
    later = await sdk.runs.create(thread, GRAPH, input=asks("later"), after_seconds=3)
    far = await sdk.runs.create(thread, GRAPH, input=asks("far"), after_seconds=86_400)
    assert [later["status"], far["status"]] == ["pending", "pending"]
    ended: Any = await sdk.runs.join(thread, later["run_id"])
    assert texts(ended) == ["later", "at last"]
    assert (await said(sdk, thread, model_server, "go on"))[-1] == "to go on"
    assert (await sdk.runs.get(thread, far["run_id"]))["status"] == "pending"
    await sdk.runs.cancel(thread, far["run_id"])
    assert (await sdk.runs.get(thread, far["run_id"]))["status"] == "interrupted"
    for odd in (-1, 10**9):
        with pytest.raises(UnprocessableEntityError):
            await sdk.runs.create(thread, GRAPH, input=asks("never"), after_seconds=odd)


async def test_the_thread_of_a_run_without_one_is_there_until_it_has_begun_and_ended(
    agent: Agent, sdk: LangGraphClient, model_server: ModelServer
) -> None:
    model_server.script(say("gone"), match="alone")
    run = await sdk.runs.create(None, GRAPH, input=asks("alone"), after_seconds=1)
    assert (await agent.runs.wait(LOCAL, run["run_id"], timeout=60)).status == "done"

    async def is_gone() -> bool:
        return await agent.threads.finder.count(LOCAL, ThreadQuery(ids=[run["thread_id"]])) == 0

    await eventually(is_gone)
