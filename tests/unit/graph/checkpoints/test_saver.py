"""Checkpoints stand in the database that `storage.url` names."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint
from sqlalchemy.engine import URL

from core.errors import ConfigInvalid, Unavailable
from graph.checkpoints.saver import Saver, opened_saver
from graph.db.database import opened_database
from graph.runs.lease import fenced
from tests.unit.graph.run_kit import Desk
from waystation.testing.postgres import PostgresServer
from waystation.testing.service import free_port

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("people_wait")]

PLACE: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


async def take_thread(url: URL) -> None:
    """The thread is there, and taken for the first time."""
    async with opened_database(url) as engine:
        await Desk.at(engine).begun()


async def put(saver: Saver) -> str:
    """Store a checkpoint as the thread's holder; its id."""
    checkpoint: Any = empty_checkpoint()
    with fenced("t", 1):
        await saver.aput(PLACE, checkpoint, {"source": "loop", "step": 1}, {})
    return str(checkpoint["id"])


async def newest(saver: Saver) -> str:
    found: CheckpointTuple | None = await saver.aget_tuple(PLACE)
    assert found is not None
    return str(found.checkpoint["id"])


async def test_a_checkpoint_is_there_after_the_saver_was_opened_again(database: URL) -> None:
    await take_thread(database)
    async with opened_saver(database) as saver:
        stored = await put(saver)
    async with opened_saver(database) as saver:
        assert await newest(saver) == stored


async def test_several_that_open_an_empty_postgresql_at_once_all_get_it(postgres_url: URL) -> None:
    await take_thread(postgres_url)

    async def open_and_use() -> None:
        async with opened_saver(postgres_url) as saver:
            await put(saver)

    await asyncio.gather(*(open_and_use() for _ in range(4)))


async def test_connections_that_were_cut_are_made_again(
    postgres_server: PostgresServer, postgres_url: URL
) -> None:
    await take_thread(postgres_url)
    async with opened_saver(postgres_url) as saver:
        stored = await put(saver)
        postgres_server.cut_connections(postgres_url)
        assert await newest(saver) == stored


async def test_a_postgresql_that_was_killed_is_used_again_when_it_is_back(
    postgres_server: PostgresServer, postgres_url: URL
) -> None:
    await take_thread(postgres_url)
    async with opened_saver(postgres_url) as saver:
        stored = await put(saver)
        await asyncio.to_thread(postgres_server.kill)
        await asyncio.to_thread(postgres_server.start)
        assert await newest(saver) == stored


async def test_a_postgresql_that_is_not_there_is_an_error_in_bounded_time() -> None:
    nowhere = URL.create("postgresql+psycopg", "ada", "hunter2", "127.0.0.1", free_port(), "w")
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable, match=r"storage\.url") as caught:
            async with opened_saver(nowhere):
                pass
    assert "hunter2" not in str(caught.value)


async def test_a_setup_that_hangs_elsewhere_is_not_waited_for_for_ever(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    from graph.checkpoints import saver

    monkeypatch.setattr(saver, "SETUP_SECONDS", 0.2)
    # Where all is set up already, nobody waits.
    url = postgres_server.create_database(empty=True)
    dsn = url.set(drivername="postgresql").render_as_string()
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as elsewhere:
        await elsewhere.execute("SELECT pg_advisory_lock(%s)", [saver._SETUP_LOCK])
        with pytest.raises(Unavailable, match="another process"):
            async with opened_saver(url):
                pass
    postgres_server.drop_database(url)


async def test_a_missing_driver_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What an installation without the extra looks like to an import.
    monkeypatch.delitem(sys.modules, "graph.checkpoints.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.postgres.aio", None)
    with pytest.raises(ConfigInvalid, match=r"\[postgres\]"):
        async with opened_saver(URL.create("postgresql+psycopg", host="127.0.0.1")):
            pass
