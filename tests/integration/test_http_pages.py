"""Lists page by page while their rows move and go, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import assert_problem, client_of, served
from waystation.testing.agents import open_agent

ROWS = {"/threads": "id", "/runs": "run_id", "/files": "key"}


@pytest.fixture(scope="module")
async def paged(storage: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("pages"), storage=storage, auth={"user": "ada"}) as agent:
        yield agent


@pytest.fixture(scope="module")
async def house(paged: Agent) -> AsyncIterator[str]:
    async with served(paged) as base:
        yield base


@pytest.fixture
async def client(house: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(house) as found:
        for row in (await found.get("/threads", params={"limit": 200})).json():
            await found.delete(f"/threads/{row['id']}")
        for row in (await found.get("/files", params={"limit": 200})).json():
            await found.delete(f"/files/{row['key']}")
        yield found


async def made(client: httpx.AsyncClient, count: int = 6) -> list[str]:
    """Threads pg1, pg2, …, each with a run that is over."""
    names = [f"pg{n}" for n in range(1, count + 1)]
    for name in names:
        await said(client, name)
    return names


async def said(client: httpx.AsyncClient, thread: str) -> None:
    body = {"input": {"message": "hi"}, "config": {"configurable": {"thread_id": thread}}}
    (await client.post("/agent/invoke", json=body)).raise_for_status()


async def page(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, params={"limit": 3, **params})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


async def test_st4_a_thread_that_moves_between_two_pages_repeats_nothing(client: httpx.AsyncClient) -> None:
    await made(client)
    first = await page(client, "/threads")
    assert ids(first) == ["pg6", "pg5", "pg4"]
    await said(client, "pg4")
    assert ids(await page(client, "/threads", after=first[-1]["cursor"])) == ["pg3", "pg2", "pg1"]


async def test_st4_a_thread_that_is_deleted_between_two_pages_skips_nothing(
    client: httpx.AsyncClient,
) -> None:
    await made(client)
    first = await page(client, "/threads", status="idle")
    await client.delete("/threads/pg4")
    await client.delete("/threads/pg2")
    rest = await page(client, "/threads", after=first[-1]["cursor"], status="idle")
    assert ids(rest) == ["pg3", "pg1"]


async def test_st4_an_id_still_leads_to_the_next_page_while_its_row_stays(client: httpx.AsyncClient) -> None:
    await made(client)
    assert ids(await page(client, "/threads", after="pg4")) == ["pg3", "pg2", "pg1"]
    runs = await page(client, "/runs")
    assert [run["thread_id"] for run in await page(client, "/runs", after=runs[-1]["run_id"])] == [
        "pg3",
        "pg2",
        "pg1",
    ]


async def test_st4_a_run_that_went_with_its_thread_still_marks_its_place(client: httpx.AsyncClient) -> None:
    await made(client)
    first = await page(client, "/runs")
    assert [run["thread_id"] for run in first] == ["pg6", "pg5", "pg4"]
    await client.delete("/threads/pg4")
    rest = await page(client, "/runs", after=first[-1]["cursor"])
    assert [run["thread_id"] for run in rest] == ["pg3", "pg2", "pg1"]


async def test_st4_a_file_that_is_deleted_or_used_still_marks_its_place(client: httpx.AsyncClient) -> None:
    for n in range(1, 7):
        await client.post("/files", files={"file": (f"f{n}.txt", b"x")})
    first = await page(client, "/files")
    assert [row["filename"] for row in first] == ["f6.txt", "f5.txt", "f4.txt"]
    used = {"input": {"message": "hi", "files": [first[1]["key"]]}}
    (await client.post("/agent/invoke", json=used)).raise_for_status()  # it becomes the thread's, and moves
    await client.delete(f"/files/{first[2]['key']}")
    rest = await page(client, "/files", after=first[2]["cursor"])
    assert [row["filename"] for row in rest] == ["f3.txt", "f2.txt", "f1.txt"]
    assert [row["filename"] for row in await page(client, "/files", after=first[1]["cursor"])] == [
        "f3.txt",
        "f2.txt",
        "f1.txt",
    ]


@pytest.mark.parametrize("path", ROWS)
async def test_st4_a_full_page_names_the_next_one_in_its_headers(
    client: httpx.AsyncClient, path: str
) -> None:
    await made(client, 3)
    for n in range(3):
        await client.post("/files", files={"file": (f"f{n}.txt", b"x")})
    seen, url = list[str](), httpx.URL(f"{path}?limit=2")
    while True:
        answer = await client.get(url)
        seen += [row[ROWS[path]] for row in answer.json()]
        following = answer.links.get("next")
        if following is None:
            break
        url = answer.url.join(following["url"])
    assert len(seen) == len(set(seen)) == 3


@pytest.mark.parametrize("path", ROWS)
@pytest.mark.parametrize("after", ["c.", "c.AAAA", "c.../x", "c.%", "x" * 301])
async def test_st4_a_bad_cursor_is_told_in_a_sentence(
    client: httpx.AsyncClient, path: str, after: str
) -> None:
    told = assert_problem(await client.get(path, params={"after": after}), 422)
    assert "after" in told["detail"]


async def test_st4_a_cursor_of_one_list_is_none_of_another(client: httpx.AsyncClient) -> None:
    await made(client, 3)
    (first, *_) = await page(client, "/threads")
    for path in ("/runs", "/files", "/threads/pg1/runs"):
        told = assert_problem(await client.get(path, params={"after": first["cursor"]}), 422, "invalid_input")
        assert "no cursor of this list" in told["detail"]
