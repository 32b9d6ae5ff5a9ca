"""The store of the LangGraph wire: values of a user's own, on both databases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from core.access import Principal
from core.identity.keys import KeyStore
from core.task_queue import TaskQueue
from graph.agent import Agent
from graph.db.tables import items
from tests.kit.http import assert_refused, client_of, served
from tests.kit.samples import pairs
from waystation.testing.agents import context_at

ITEMS = "/langgraph/store/items"
SEARCH = f"{ITEMS}/search"
MOST = 8


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str]) -> AsyncIterator[Agent]:
    limits = {"items_per_user": MOST, "items_bytes_per_user": 100_000}
    folder = tmp_path_factory.mktemp("store")
    context = context_at(folder, tools=(), storage=storage, auth={"mode": "keys"}, limits=limits)
    async with Agent.open(context, worker=True) as agent:
        yield agent


@pytest.fixture(scope="module")
async def users(agent: Agent) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Clients of two people."""
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(served(agent))
        keys = KeyStore(agent.engine)
        found = {}
        for name in ("ada", "bob"):
            client = await stack.enter_async_context(client_of(base))
            client.headers["x-api-key"] = (await keys.create(name))[1]
            found[name] = client
        yield found


@pytest.fixture
async def ada(agent: Agent, users: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    """One of them, who keeps nothing yet."""
    async with agent.engine.begin() as db:
        await db.execute(items.delete())
    return users["ada"]


async def put(http: httpx.AsyncClient, key: str, value: Any = None, *labels: str, **more: Any) -> None:
    body = {"namespace": labels or ["notes"], "key": key, "value": value or {"text": key}, **more}
    answer = await http.put(ITEMS, json=body)
    assert answer.status_code == 204, answer.text


async def get(http: httpx.AsyncClient, key: str, namespace: str = "notes") -> httpx.Response:
    return await http.get(ITEMS, params={"namespace": namespace, "key": key})


async def keys_of(http: httpx.AsyncClient, **body: Any) -> list[str]:
    answer = await http.post(SEARCH, json={"namespace_prefix": [], **body})
    assert answer.status_code == 200, answer.text
    return [item["key"] for item in answer.json()["items"]]


async def remove(http: httpx.AsyncClient, key: str) -> int:
    body = {"namespace": ["notes"], "key": key}
    return (await http.request("DELETE", ITEMS, json=body)).status_code


async def test_an_item_is_kept_changed_and_removed(ada: httpx.AsyncClient) -> None:
    await put(ada, "tea", {"likes": "green", "deep": [{"é": None}]})
    found = (await get(ada, "tea")).json()
    assert found["namespace"] == ["notes"]
    assert found["value"] == {"likes": "green", "deep": [{"é": None}]}
    await put(ada, "tea", {"likes": "black"})
    changed = (await get(ada, "tea")).json()
    assert changed["value"] == {"likes": "black"}
    assert changed["created_at"] == found["created_at"] < changed["updated_at"]
    assert [await remove(ada, "tea"), await remove(ada, "tea")] == [204, 204]
    assert_refused(await get(ada, "tea"), 404, "item_not_found")


async def test_nobody_sees_what_another_keeps_under_the_same_names(
    ada: httpx.AsyncClient, users: dict[str, httpx.AsyncClient]
) -> None:
    bob = users["bob"]
    await put(ada, "secret", {"of": "ada"})
    assert_refused(await get(bob, "secret"), 404, "item_not_found")
    assert await keys_of(bob) == []
    assert (await bob.post("/langgraph/store/namespaces", json={})).json() == {"namespaces": []}
    assert await remove(bob, "secret") == 204
    await put(bob, "secret", {"of": "bob"})
    assert (await get(ada, "secret")).json()["value"] == {"of": "ada"}


async def test_items_are_searched_below_a_namespace_by_fields_and_by_words(ada: httpx.AsyncClient) -> None:
    await put(ada, "one", {"n": 1, "text": "The harbour is open"}, "a", "b")
    await put(ada, "two", {"n": 2, "text": "The harbour closes, the gate too"}, "a", "b", "c")
    await put(ada, "three", {"n": "3"}, "ab")
    assert await keys_of(ada) == ["three", "two", "one"]
    assert await keys_of(ada, namespace_prefix=["a"]) == ["two", "one"]
    assert await keys_of(ada, namespace_prefix=["a", "b"], limit=1, offset=1) == ["one"]
    assert await keys_of(ada, filter={"n": 1}) == ["one"]
    # What cannot be compared does not fit.
    assert await keys_of(ada, filter={"n": {"$gte": 1, "$lt": 2}}) == ["one"]
    assert await keys_of(ada, filter={"n": {"$ne": 2}}) == ["three", "one"]
    assert await keys_of(ada, query="harbour gate") == ["two", "one"]
    answer = await ada.post(SEARCH, json={"namespace_prefix": [], "query": "GATE"})
    assert [(item["key"], item["score"]) for item in answer.json()["items"]] == [("two", 1.0)]
    assert_refused(await ada.post(SEARCH, json={"namespace_prefix": [], "filter": {"n": {"$in": [1]}}}), 422)


async def test_namespaces_are_listed(ada: httpx.AsyncClient) -> None:
    for labels in (("a", "b", "z"), ("a", "c"), ("q", "z")):
        await put(ada, "k", None, *labels)

    async def listed(**body: Any) -> Any:
        return (await ada.post("/langgraph/store/namespaces", json=body)).json()["namespaces"]

    assert await listed() == [["a", "b", "z"], ["a", "c"], ["q", "z"]]
    assert await listed(max_depth=1) == [["a"], ["q"]]
    assert await listed(prefix=["a"]) == [["a", "b", "z"], ["a", "c"]]
    assert await listed(suffix=["*", "z"]) == [["a", "b", "z"], ["q", "z"]]
    assert await listed(limit=1, offset=2) == [["q", "z"]]


async def test_an_item_is_there_for_its_time_which_reading_begins_again(
    agent: Agent, ada: httpx.AsyncClient
) -> None:
    await put(ada, "for ever")
    await put(ada, "for a time", ttl=5)

    async def left() -> float:
        async with agent.engine.begin() as db:
            found = (await db.execute(items.select().where(items.c.key == "for a time"))).mappings().one()
            await db.execute(update(items).where(items.c.keep_minutes.is_not(None)).values(expires_at=2e10))
            return float(found["expires_at"])

    first = await left()
    await ada.get(ITEMS, params={"namespace": "notes", "key": "for a time", "refresh_ttl": "false"})
    assert await left() == 2e10
    await get(ada, "for a time")
    assert first <= await left() < 2e10
    async with agent.engine.begin() as db:
        await db.execute(update(items).where(items.c.keep_minutes.is_not(None)).values(expires_at=1000.0))
    assert_refused(await get(ada, "for a time"), 404, "item_not_found")
    assert await keys_of(ada) == ["for ever"]
    queue = await agent.container.get(TaskQueue)
    task = await queue.add("forget_items", {}, owner=queue.system)
    assert (await queue.wait(task.id, 30.0)).status == "done"
    async with agent.engine.connect() as db:
        assert len((await db.execute(items.select())).all()) == 1


async def test_a_user_keeps_no_more_than_the_limits(ada: httpx.AsyncClient) -> None:
    for number in range(MOST):
        await put(ada, f"n{number}")
    body = {"namespace": ["notes"], "key": "more", "value": {}}
    assert_refused(await ada.put(ITEMS, json=body), 403, "items_total_reached")
    await put(ada, "n0", {"changed": True})
    for number in (1, 2):
        answer = await ada.put(ITEMS, json={**body, "key": f"n{number}", "value": {"x": "y" * 60_000}})
    assert_refused(answer, 403, "items_total_reached")
    assert (await get(ada, "n2")).json()["value"] == {"text": "n2"}
    assert_refused(await ada.put(ITEMS, json={**body, "value": {"x": "y" * 70_000}}), 422)


ODD: tuple[Any, ...] = (
    *(None, 0, -1, 1.5, 2**70, True, "", "x", "a.b", "\x00", "\ud800", "x" * 300, [], [None], ["a.b"]),
    *([""], ["x"] * 20, ["\x00"], ["*"], {}, {"\x00": 1}, {"$gt": None}, {"$gt": {"a": []}}, {"a": "\ud800"}),
)


async def test_whatever_is_sent_is_no_fault_of_ours(ada: httpx.AsyncClient) -> None:
    put_body = {"namespace": ["notes"], "key": "k", "value": {"a": 1}, "ttl": 1}
    named = {"namespace": ["n"], "key": "k"}
    of_search = ("namespace_prefix", "filter", "query", "limit", "offset", "refresh_ttl")
    of_namespaces = ("prefix", "suffix", "max_depth", "limit", "offset")
    rows: list[tuple[str, str, dict[str, Any], str]] = [
        *(("PUT", ITEMS, put_body, name) for name in put_body),
        *(("DELETE", ITEMS, named, name) for name in put_body),
        *(("POST", SEARCH, {"namespace_prefix": []}, name) for name in of_search),
        *(("POST", "/langgraph/store/namespaces", {}, name) for name in of_namespaces),
    ]
    wishes = [
        (method, path, {**body, name: odd}) for (method, path, body, name), odd in pairs(rows, ODD, here=7)
    ]
    wishes += [("POST", SEARCH, {"filter": {"a": odd}}) for odd in ODD]
    for method, path, body in wishes:
        content = json.dumps(body).encode()
        answer = await ada.request(
            method, path, content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code < 500, (method, path, body, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()) == {"detail", "code"}
    for query in ("", "?key=", "?key=%00&namespace=a", "?key=a&namespace=..", "?key=a&namespace=%00"):
        assert_refused(await ada.get(f"{ITEMS}{query}"), 422)


async def test_what_a_user_keeps_may_be_reached_in_python(agent: Agent, ada: httpx.AsyncClient) -> None:
    kept = await agent.items()
    who = Principal("carol")
    await kept.put(who, ("a",), "k", {"n": 1})
    assert (await kept.get(who, ("a",), "k") or {})["value"] == {"n": 1}
    assert await keys_of(ada) == []
