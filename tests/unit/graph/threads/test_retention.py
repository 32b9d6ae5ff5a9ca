"""Rows of runs that ended long ago, on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import URL

from core.settings.platform import ThreadSettings
from graph.db.tables import runs, threads
from graph.threads.retention import RunRetention, rows_by_table
from tests.unit.graph.history_kit import ADA, World, opened_world

pytestmark = pytest.mark.slow


@pytest.fixture
async def world(database: URL) -> AsyncIterator[World]:
    async with opened_world(database) as world:
        yield world


async def left(world: World) -> set[str]:
    async with world.engine.connect() as db:
        return set((await db.execute(select(runs.c.id))).scalars())


async def test_all_but_the_newest_runs_of_a_thread_are_forgotten_with_what_they_told(world: World) -> None:
    await world.threads.create(ADA, thread_id="clean")
    for number in range(5):
        await world.run_of("clean", f"r_{number}", created_at=float(number))
    await world.run_of("clean", "r_late", created_at=7.0, ended_at=500.0)
    retention = RunRetention(world.engine)
    assert await retention.forget(100.0, limit=3) == 3
    assert await retention.forget(100.0, limit=3) == 2
    assert await retention.forget(100.0, limit=3) == 0
    assert await left(world) == {"r_late"}
    rows = await world.rows_of("clean")
    assert (rows["runs"], rows["run_events"], rows["receipts"]) == (1, 1, 1)
    assert await retention.forget(1000.0) == 0, "the newest of a thread stays, however old"


async def test_what_is_not_over_stays(world: World) -> None:
    for name in ("open", "torn"):
        await world.threads.create(ADA, thread_id=name)
        await world.run_of(name, f"{name}_1", status="interrupted" if name == "open" else "failed")
        await world.run_of(name, f"{name}_2", created_at=2.0)
    await world.run_of("open", "running", status="running", ended_at=None)
    async with world.engine.begin() as db:
        await db.execute(update(threads).where(threads.c.id == "torn").values(dirty=True))
    assert await RunRetention(world.engine).forget(100.0) == 0
    assert await left(world) == {"open_1", "open_2", "running", "torn_1", "torn_2"}


async def test_every_table_that_grows_is_counted_with_what_bounds_it(world: World) -> None:
    await world.say("t", "one")
    for number in range(9):
        await world.run_of("t", f"r_{number}", created_at=float(number))
    settings = ThreadSettings(keep_runs_days=90, checkpoint_turns=0)
    found = {one.table: one for one in await rows_by_table(world.engine, settings)}
    assert (found["runs"].rows, found["runs"].oldest) == (9, 0.0)
    assert found["runs"].bound == "threads.keep_runs_days: 90"
    assert found["threads"].bound == "threads.keep_days: for ever"
    assert found["transcript"].rows == 2
    assert found["checkpoints"].rows > 0
    assert found["checkpoints"].bound == "threads.checkpoint_turns: all"
    assert found["plans"].oldest is None
    assert set(found) >= {"tasks", "items", "receipts", "run_events", "webhook_deliveries"}
