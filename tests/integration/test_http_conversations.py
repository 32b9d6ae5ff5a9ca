"""Conversations without a thread, over /chat: over a restart, edited, and two at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import client_of, served
from tests.kit.runs import said_on
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, hang, refuse, say

Said = list[dict[str, str]]


def human(text: str) -> dict[str, str]:
    return {"type": "human", "content": text}


def ai(text: str) -> dict[str, str]:
    return {"type": "ai", "content": text}


async def ask(http: httpx.AsyncClient, said: Said, **configurable: Any) -> str:
    body = {"input": {"messages": said}, "config": {"configurable": configurable}}
    answer = await http.post("/chat/invoke", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["output"]["content"])


async def threads(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get("/threads")).json()
    return found


def open_on(folder: Path, model: ModelServer, storage: Mapping[str, str]) -> Any:
    return open_agent(folder, model_url=model.url, tools=(), storage=storage)


@pytest.fixture
async def http(
    tmp_path: Path, model_server: ModelServer, storage: dict[str, str]
) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        open_on(tmp_path, model_server, storage) as agent,
        served(agent) as base,
        client_of(base) as client,
    ):
        yield client


def seen(model: ModelServer) -> list[str]:
    """What the model was sent last, without the system message."""
    return [one["content"] for one in model.requests()[-1]["messages"] if one["role"] != "system"]


async def test_a_conversation_finds_its_thread_after_a_restart(
    tmp_path: Path, model_server: ModelServer, storage: dict[str, str]
) -> None:
    model_server.script(say("A."), say("B."))
    said = [human("one"), ai("A."), human("two")]
    for turn in (said[:1], said):
        agent: Agent
        async with (
            open_on(tmp_path, model_server, storage) as agent,
            served(agent) as base,
            client_of(base) as http,
        ):
            await ask(http, turn)
            found = [each["turns"] for each in await threads(http) if each["title"] == "one"]
    assert found[0] == 2


async def test_an_edit_goes_on_in_a_fork_and_a_foreign_answer_in_a_thread_of_its_own(
    http: httpx.AsyncClient, model_server: ModelServer
) -> None:
    before = {each["id"] for each in await threads(http)}
    model_server.script(say("A."), say("B."), say("C."), say("D."))
    await ask(http, [human("one")])
    await ask(http, [human("one"), ai("A."), human("two")])
    await ask(http, [human("one"), ai("A."), human("two, edited")])
    assert seen(model_server) == ["one", "A.", "two, edited"]
    await ask(http, [human("one"), ai("A, edited."), human("two")])
    assert seen(model_server) == ["one", "A, edited.", "two"]
    made = [each for each in await threads(http) if each["id"] not in before]
    assert sorted((each["turns"], bool(each["parent"])) for each in made) == [
        (2, False),
        (2, False),
        (2, True),
    ]
    [fork] = [each for each in made if each["parent"]]
    assert await said_on(http, fork["id"]) == [
        ("user", "one"),
        ("assistant", "A."),
        ("user", "two, edited"),
        ("assistant", "C."),
    ]


async def test_two_at_once_behind_one_answer_have_a_thread_each(
    http: httpx.AsyncClient, model_server: ModelServer
) -> None:
    model_server.script(say("A."))
    await ask(
        http,
        [
            human("begin"),
        ],
    )
    model_server.script(hang(), match="first")
    before = [human("begin"), ai("A.")]
    first = asyncio.create_task(ask(http, [*before, human("first")]))
    await asyncio.to_thread(model_server.wait_for_active, 1)
    assert await ask(http, [*before, human("second")]) == "Scripted reply."
    assert seen(model_server) == ["begin", "A.", "second"]
    model_server.release()
    await first


async def test_a_turn_that_failed_is_not_gone_on_with(
    http: httpx.AsyncClient, model_server: ModelServer
) -> None:
    model_server.script(refuse(401), match="fails")
    body = {"input": {"messages": [human("this fails")]}}
    assert (await http.post("/chat/invoke", json=body)).status_code == 502
    await ask(http, [human("this fails"), ai("An error came."), human("Again")])
    assert seen(model_server) == ["this fails", "An error came.", "Again"]


async def test_a_turn_that_cannot_begin_leaves_no_thread(
    http: httpx.AsyncClient, model_server: ModelServer
) -> None:
    before = len(await threads(http))
    body = {
        "input": {"messages": [human("x"), ai("from elsewhere"), human("y")]},
        "config": {"configurable": {"model": "none"}},
    }
    assert (await http.post("/chat/invoke", json=body)).status_code == 422
    assert len(await threads(http)) == before
