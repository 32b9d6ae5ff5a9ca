"""`langgraph dev` where people log in: the same keys as the service's, and everybody's threads apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from core.identity.keys import KeyStore
from graph.db.database import opened_database
from tests.kit.studio import studio
from waystation.testing.agents import write_config

QUESTION = {"messages": [{"role": "user", "content": "What is 5 + 3?"}]}


@dataclass(frozen=True)
class Opened:
    """The development server in mode keys, and the headers of its callers."""

    client: httpx.Client
    callers: Mapping[str, Mapping[str, str]]

    def post(self, who: str, path: str, body: Any = None) -> httpx.Response:
        return self.client.post(path, json=body or {}, headers=self.callers[who])

    def get(self, who: str, path: str) -> httpx.Response:
        return self.client.get(path, headers=self.callers[who])


async def make_keys(home: Path) -> dict[str, str]:
    home.mkdir()
    async with opened_database(
        URL.create("sqlite+aiosqlite", database=str(home / "waystation.db"))
    ) as engine:
        store = KeyStore(engine)
        made = {who: (await store.create(who))[1] for who in ("ada", "bob")}
        made["eve"] = (await store.create("eve", levels=["secret"]))[1]
        return {**made, "none": (await store.create("ada", scopes=()))[1]}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("studio-keys")
    keys = asyncio.run(make_keys(folder / "home"))
    callers = {who: {"authorization": f"Bearer {key}"} for who, key in keys.items()}
    callers |= {"": {}, "studio": {"x-auth-scheme": "langsmith"}, "wrong": {"x-api-key": "wsk_no"}}
    config = write_config(folder, files={"mcp.json": '{"clock": {"compliance_level": "secret"}}'})
    env = {"WAYSTATION_AUTH__MODE": "keys", "WAYSTATION_CONFIG_DIR": str(config)}
    with studio(folder, env=env) as client:
        yield Opened(client, callers)


@pytest.fixture(scope="module")
def assistant(opened: Opened) -> str:
    (found,) = opened.post("ada", "/assistants/search").raise_for_status().json()
    return str(found["assistant_id"])


@pytest.mark.parametrize(("who", "status"), [("", 401), ("studio", 401), ("wrong", 401), ("none", 403)])
def test_nobody_comes_in_without_a_key_that_covers_it(opened: Opened, who: str, status: int) -> None:
    assert opened.post(who, "/threads").status_code == status
    assert opened.post(who, "/assistants/search").status_code == status


@pytest.mark.parametrize(("who", "clock"), [("ada", False), ("eve", True)])
def test_rights_are_those_of_the_login_whatever_the_form_says(
    opened: Opened, assistant: str, who: str, clock: bool
) -> None:
    thread = opened.post(who, "/threads").raise_for_status().json()["thread_id"]
    form = {"user": "eve", "groups": ["staff"], "levels": ["*"]}
    run = {"assistant_id": assistant, "input": QUESTION, "context": form, "stream_mode": ["custom"]}
    text = opened.post(who, f"/threads/{thread}/runs/stream", run).raise_for_status().text
    told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    (config,) = [event for event in told if event.get("type") == "config"]
    assert "calculator_add" in config["tools"]
    assert ("clock_now" in config["tools"]) is clock
    assert any(event.get("type") == "tool_result" and "8" in event["content"] for event in told)


def test_threads_belong_to_whoever_made_them(opened: Opened, assistant: str) -> None:
    forged = {"metadata": {"owner": "bob"}}
    thread = opened.post("ada", "/threads", forged).raise_for_status().json()["thread_id"]
    assert opened.get("ada", f"/threads/{thread}").json()["metadata"]["owner"] == "ada"
    assert thread in [t["thread_id"] for t in opened.post("ada", "/threads/search").json()]
    assert opened.post("bob", "/threads/search").json() == []
    for path in (f"/threads/{thread}", f"/threads/{thread}/state"):
        assert opened.get("bob", path).status_code == 404
    run = {"assistant_id": assistant, "input": QUESTION}
    assert opened.post("bob", f"/threads/{thread}/runs/wait", run).status_code == 404


def test_assistants_are_shared_and_only_admins_change_them(opened: Opened, assistant: str) -> None:
    assert opened.get("bob", f"/assistants/{assistant}").status_code == 200
    assert opened.post("bob", "/assistants", {"graph_id": "waystation"}).status_code == 403


def test_the_store_is_closed(opened: Opened) -> None:
    answer = opened.client.put(
        "/store/items", json={"namespace": ["a"], "key": "k", "value": {}}, headers=opened.callers["ada"]
    )
    assert answer.status_code == 403
