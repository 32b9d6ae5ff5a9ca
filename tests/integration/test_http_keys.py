"""Keys over HTTP: made, listed and ended by whoever may, with no more than their own rights."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from core.identity.keys import KeyStore
from graph.agent import Agent
from tests.kit.http import assert_problem, client_of, served
from tests.kit.task_queues import eventually
from waystation.testing.agents import open_agent


@dataclass(frozen=True)
class House:
    """A service where people log in by keys."""

    agent: Agent
    base: str

    async def caller(self, scopes: tuple[str, ...], **rights: Any) -> dict[str, str]:
        _, key = await KeyStore(self.agent.engine).create("ada", scopes=scopes, **rights)
        return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("keys")
    async with open_agent(folder, tools=(), auth={"mode": "keys"}) as agent, served(agent) as base:
        yield House(agent, base)


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(house.base) as client:
        yield client


async def test_a_key_is_made_shown_once_used_and_ended(house: House, http: httpx.AsyncClient) -> None:
    admin = await house.caller(("admin", "use"), groups=["staff"], levels=["*"])
    wanted = {"name": "laptop", "groups": ["staff"], "levels": ["secret"], "days": 1}
    answer = await http.post("/keys", json=wanted, headers=admin)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["user"], made["name"], made["state"]) == ("ada", "laptop", "valid")
    assert made["expires_at"]
    theirs = {"authorization": f"Bearer {made['key']}"}
    who = (await http.get("/session", headers=theirs)).json()
    assert (who["groups"], who["levels"], who["scopes"]) == (["staff"], ["secret"], ["use"])
    assert_problem(await http.post("/keys", json={}, headers=theirs), 403, "scope_missing")
    listed = (await http.get("/keys", headers=admin)).json()
    assert made["id"] in [row["id"] for row in listed]
    assert made["key"] not in json.dumps(listed)
    ended = await http.delete(f"/keys/{made['id']}", headers=admin)
    assert ended.json()["state"] == "revoked"


async def test_nobody_gives_what_they_do_not_have(house: House, http: httpx.AsyncClient) -> None:
    admin = await house.caller(("admin",), groups=["staff"], levels=["internal"])
    beyond = ({"scopes": ["use"]}, {"scopes": ["*"]}, {"scopes": ["admin"], "groups": ["board"]})
    for wanted in (
        *beyond,
        {"scopes": ["admin"], "levels": ["secret"]},
        {"scopes": ["admin"], "levels": ["*"]},
    ):
        assert_problem(await http.post("/keys", json=wanted, headers=admin), 403, "key_exceeds_rights")
    other = {"user": "bob", "scopes": ["admin"]}
    assert_problem(await http.post("/keys", json=other, headers=admin), 403, "scope_missing")
    every = await house.caller(("*",))
    made = (await http.post("/keys", json={"user": "bob", "scopes": ["*"]}, headers=every)).json()
    assert (made["user"], made["scopes"]) == ("bob", ["*"])
    group = {"groups": ["staff"]}
    assert_problem(await http.post("/keys", json=group, headers=every), 403, "key_exceeds_rights")


WRONG: tuple[dict[str, Any], ...] = (
    {"user": "ada lovelace"},
    {"user": "x" * 129},
    {"name": "x" * 201},
    {"scopes": []},
    {"scopes": ["root"]},
    {"groups": ["a,b"]},
    {"groups": "staff"},
    {"days": 0},
    {"days": 1e300},
    {"key": "wsk_mine"},
)


@pytest.mark.parametrize("wanted", WRONG, ids=str)
async def test_a_key_that_cannot_be_is_refused(
    house: House, http: httpx.AsyncClient, wanted: dict[str, Any]
) -> None:
    every = await house.caller(("*",))
    assert_problem(await http.post("/keys", json=wanted, headers=every), 422)


async def test_who_made_and_ended_a_key_stands_in_the_audit_log(
    house: House, http: httpx.AsyncClient
) -> None:
    admin = await house.caller(("admin",))
    made = (await http.post("/keys", json={"scopes": ["admin"]}, headers=admin)).json()
    await http.delete(f"/keys/{made['id']}", headers=admin)
    lines: list[dict[str, Any]] = []

    async def written() -> bool:
        lines[:] = (await http.get("/audit", params={"q": made["id"]}, headers=admin)).json()
        return len(lines) == 2

    await eventually(written)
    assert {(line["what"], line["who"]) for line in lines} == {("KeyMade", "ada"), ("KeyRevoked", "ada")}
    assert made["key"] not in json.dumps(lines)
    assert_problem(await http.delete("/keys/0000000000000000", headers=admin), 404, "key_not_found")
