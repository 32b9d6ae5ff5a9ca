"""G9: one user has so many threads, files, and bytes in them; each limit has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.kit.http import assert_problem, client_of, served, turn
from waystation.testing.agents import open_agent

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def http(
    storage: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    limits = {"threads_per_user": 2}
    files = {"user_files": 2, "user_bytes": 1000}
    async with (
        open_agent(
            tmp_path_factory.mktemp("totals"), storage=storage, limits=limits, file_storage=files
        ) as agent,
        served(agent) as base,
        client_of(base) as client,
    ):
        yield client


async def test_g9_every_way_to_a_new_thread_is_counted(http: httpx.AsyncClient) -> None:
    for name in ("t1", "t2"):
        answer = await http.post("/agent/invoke", json=turn(thread_id=name))
        assert answer.status_code == 200
    exported = (await http.post("/threads/t1/export")).content
    tries = (
        await http.post("/threads", json={}),
        await http.post("/agent/invoke", json=turn(thread_id="t3")),
        await http.post("/threads/t3/runs", json={"input": {"message": "hello"}}),
        await http.post("/threads/t1/fork", json={}),
        await http.post("/threads/import", content=exported, headers=NDJSON),
    )
    for answer in tries:
        assert_problem(answer, 403, "thread_total_reached")
        assert "at most 2 are allowed" in answer.json()["detail"]
    assert (await http.get("/threads/t3")).status_code == 404
    assert (await http.post("/agent/invoke", json=turn(thread_id="t1"))).status_code == 200
    assert (await http.delete("/threads/t2")).status_code < 300
    assert (await http.post("/threads", json={})).status_code < 300


async def test_g9_files_and_their_bytes_are_counted(http: httpx.AsyncClient) -> None:
    async def send(size: int) -> httpx.Response:
        return await http.post("/files", files={"file": ("a.bin", b"x" * size)})

    first = await send(600)
    assert first.status_code == 201
    assert_problem(await send(401), 413, "file_total_reached")
    assert "at most 1000 are allowed" in (await send(401)).json()["detail"]
    assert (await send(400)).status_code == 201
    refused = await send(0)
    assert_problem(refused, 413, "file_total_reached")
    assert "you have 2 files; at most 2" in refused.json()["detail"]
    assert (await http.delete(f"/files/{first.json()['key']}")).status_code == 204
    assert (await send(600)).status_code == 201
    assert len((await http.get("/files")).json()) == 2


async def test_g9_files_that_come_at_once_are_held_to_the_limits_together(http: httpx.AsyncClient) -> None:
    async def send(size: int) -> int:
        return (await http.post("/files", files={"file": ("a.bin", b"x" * size)})).status_code

    answers = await asyncio.gather(*(send(300) for _ in range(8)))
    assert sorted(answers) == [201] * 2 + [413] * 6
    for file in (await http.get("/files")).json():
        await http.delete(f"/files/{file['key']}")
    assert sorted(await asyncio.gather(*(send(600) for _ in range(16)))) == [201] + [413] * 15
    assert await send(400) == 201
    assert sum(file["size"] for file in (await http.get("/files")).json()) == 1000


async def test_g9_threads_that_are_made_at_once_are_held_to_the_limit_together(
    http: httpx.AsyncClient,
) -> None:
    for thread in (await http.get("/threads")).json():  # of the tests before, on the same database
        await http.delete(f"/threads/{thread['id']}")
    made = await asyncio.gather(*(http.post("/threads", json={}) for _ in range(10)))
    assert sorted(answer.status_code for answer in made) == [201] * 2 + [403] * 8
    assert len((await http.get("/threads")).json()) == 2
