"""What waits for a person over all threads, and what was decided."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from core.identity.keys import KeyStore
from graph.agent import Agent
from tests.kit.http import assert_problem, client_of, served
from waystation.testing.agents import open_agent
from waystation.testing.mcp_servers import PEER
from waystation.testing.model_server import ModelServer, call


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str], model: ModelServer
) -> AsyncIterator[Agent]:
    hotels = {"command": [sys.executable, "-P", str(PEER)]}
    files = {"mcp.json": json.dumps({"clock": {"require_approval": ["*"]}, "hotels": hotels})}
    folder = tmp_path_factory.mktemp("questions")
    auth = {"mode": "keys"}
    async with open_agent(
        folder, tools=("clock",), files=files, auth=auth, storage=storage, model_url=model.url
    ) as agent:
        yield agent


@pytest.fixture(scope="module")
async def people(agent: Agent) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    store = KeyStore(agent.engine)
    async with served(agent) as base, client_of(base) as ada, client_of(base) as bob:
        for name, client in (("ada", ada), ("bob", bob)):
            client.headers["authorization"] = f"Bearer {(await store.create(name))[1]}"
        yield {"ada": ada, "bob": bob}


async def asks(
    client: httpx.AsyncClient, model: ModelServer, thread: str, tool: str = "clock_now", **arguments: Any
) -> str:
    model.reset()  # what titles threads takes of the script too
    model.script(call(tool, arguments or {"zone": "UTC"}))
    answer = await client.post(f"/threads/{thread}/runs", json={"input": {"message": "What time is it?"}})
    assert answer.status_code == 202, answer.text
    run = answer.json()["run_id"]
    ended = (await client.get(f"/runs/{run}/wait")).json()
    assert (ended["status"], ended["reason"]) == ("interrupted", "person")
    return str(run)


async def rows(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/questions", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_questions_are_listed_answered_and_kept_as_decided_for_their_person_alone(
    people: dict[str, httpx.AsyncClient], model: ModelServer
) -> None:
    ada, bob = people["ada"], people["bob"]
    runs = [await asks(ada, model, f"asks-{number}") for number in range(3)]
    assert (await ada.get("/questions/count")).json() == {"waiting": 3}
    assert (await bob.get("/questions/count")).json() == {"waiting": 0}
    assert await rows(bob) == []
    waiting = await rows(ada)
    assert [row["run_id"] for row in waiting] == runs[::-1]
    assert waiting[0]["question"]["call"]["tool"] == "now"
    assert waiting[0]["thread_title"].startswith("What time")

    first = await ada.get("/questions", params={"limit": 2})
    link = first.headers["link"].partition(">")[0][1:]
    assert [row["run_id"] for row in (await ada.get(f"/questions{link}")).json()] == runs[:1]

    asked = {row["run_id"]: row["question"]["id"] for row in waiting}
    answers = ({"approve": True}, {"approve": False, "reason": "Not now."})
    for run, answer in zip(runs, answers, strict=False):
        body = {"resume": {asked[run]: answer}}
        assert (await ada.post(f"/runs/{run}/resume", json=body)).status_code == 202
        await ada.get(f"/runs/{run}/wait")
    assert (await ada.get("/questions/count")).json() == {"waiting": 1}
    decided = await rows(ada, status="decided")
    assert [(row["decision"]["type"], row["decision"]["by"]) for row in decided] == [
        ("reject", "ada"),
        ("approve", "ada"),
    ]
    assert [row["kind"] for row in decided] == ["approval", "approval"]
    assert all(row["decision"]["at"] for row in decided)
    assert decided[0]["decision"]["reason"] == "Not now."
    assert decided[1]["call"]["status"] == "ok"
    assert await rows(ada, status="decided", after=decided[0]["cursor"]) == decided[1:]
    assert await rows(bob, status="decided") == []


ANSWERS: tuple[tuple[dict[str, Any], str, list[str]], ...] = (
    ({"action": "accept", "content": {"nights": 3417}}, "accept", ["nights"]),
    ({"action": "decline"}, "decline", []),
    ({"action": "cancel"}, "cancel", []),
)


@pytest.mark.parametrize(("answer", "type_", "fields"), ANSWERS, ids=[each[1] for each in ANSWERS])
async def test_what_a_tool_asked_is_listed_with_who_answered_and_how_and_not_with_what(
    people: dict[str, httpx.AsyncClient],
    model: ModelServer,
    answer: dict[str, Any],
    type_: str,
    fields: list[str],
) -> None:
    ada = people["ada"]
    run = await asks(ada, model, f"hotel-{type_}", "hotels_book", place="Rome")
    question = next(row["question"] for row in await rows(ada) if row["run_id"] == run)
    began = datetime.now(UTC)
    assert (
        await ada.post(f"/runs/{run}/resume", json={"resume": {question["id"]: answer}})
    ).status_code == 202
    await ada.get(f"/runs/{run}/wait")
    row = (await rows(ada, status="decided"))[0]
    assert (row["run_id"], row["kind"], row["detail"]) == (run, "elicitation", question["detail"])
    assert (row["call"]["server"], row["call"]["tool"]) == ("hotels", "book")
    assert abs((datetime.fromisoformat(row["decision"].pop("at")) - began).total_seconds()) < 60
    assert row["decision"] == {"type": type_, "by": "ada", "fields": fields}
    assert "3417" not in json.dumps(await rows(ada, status="decided"))
    assert not [row for row in await rows(people["bob"], status="decided") if row["run_id"] == run]


@pytest.mark.parametrize("query", [{"status": "open"}, {"limit": 0}, {"limit": 201}, {"after": "c.nonsense"}])
async def test_a_query_that_cannot_be_is_refused(
    people: dict[str, httpx.AsyncClient], query: dict[str, Any]
) -> None:
    assert_problem(await people["ada"].get("/questions", params=query), 422)
