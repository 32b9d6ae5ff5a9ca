"""What runs told stands in partitions by time, which retention drops whole."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import create_engine, now_of
from graph.db.database import HEAD, open_database, opened_database, revision
from graph.db.partitions import HOUR, Partition, ahead, make_ahead, partitions, width_of
from graph.db.tables import new_run_id, run_events
from graph.threads.housekeeping import ThreadUpkeep
from nodes.llm.fake import ScriptedModel
from tests.graph.test_migration import upgrade
from tests.unit.graph.history_kit import ADA, World, opened_world
from tests.unit.graph.moving.kit import spelled
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

DAY = 24 * 3600
QUARTER = 6 * 3600
TOLD = "INSERT INTO run_events (run_id, seq, first, thread_id, type, data, created_at) VALUES"


@pytest.fixture
async def world(postgres_url: URL) -> AsyncIterator[World]:
    async with opened_world(postgres_url) as world:
        yield world


@pytest.fixture
async def engine(postgres_url: URL) -> AsyncIterator[AsyncEngine]:
    async with opened_database(postgres_url) as engine:
        yield engine


async def stand(engine: AsyncEngine) -> dict[str, int]:
    """How many rows each partition has."""
    where = text("SELECT tableoid::regclass::text, count(*) FROM run_events GROUP BY 1")
    async with engine.connect() as db:
        return {str(name): int(rows) for name, rows in await db.execute(where)}


async def there(engine: AsyncEngine) -> list[Partition]:
    async with engine.connect() as db:
        return await partitions(db)


async def tell(engine: AsyncEngine, *run_ids: str) -> None:
    rows: list[dict[str, Any]] = [
        {"run_id": run_id, "seq": 1, "first": 1, "thread_id": "t", "type": "done", "data": "{}"}
        for run_id in run_ids
    ]
    async with engine.begin() as db:
        await db.execute(insert(run_events), [{**row, "created_at": 1.0} for row in rows])


def test_an_id_tells_its_second_and_sorts_by_it() -> None:
    ids = [new_run_id(at) for at in (1_800_000_000.9, 1_800_000_001.0, 1_900_000_000.0)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"r_[0-9a-f]{32}", one) for one in ids), "as releases before have them"
    assert new_run_id(1.0) != new_run_id(1.0)


@pytest.mark.parametrize(
    ("hours", "width"), [(0.5, 3600), (24, QUARTER), (100, 25 * 3600), (87_600, 30 * DAY)]
)
def test_a_partition_takes_a_quarter_of_the_time_that_events_are_kept(hours: float, width: int) -> None:
    assert width_of(hours) == width


def test_partitions_follow_each_other_also_when_they_become_wider() -> None:
    first = ahead([], now=DAY + 10, width=QUARTER)
    assert [(one.since, one.until) for one in first] == [
        (DAY, DAY + QUARTER),
        (DAY + QUARTER, DAY + 2 * QUARTER),
    ]
    assert [one.name for one in first] == ["run_events_19700102_00", "run_events_19700102_06"]
    assert ahead(first, now=DAY + 10, width=QUARTER) == []
    wider = ahead(first, now=DAY + 20, width=DAY)
    assert [(one.since, one.until) for one in wider] == [(DAY + 2 * QUARTER, 2 * DAY), (2 * DAY, 3 * DAY)]


def test_a_clock_that_was_wrong_for_a_while_leaves_no_time_without_partitions() -> None:
    far = ahead([], now=400 * DAY, width=QUARTER)
    found = ahead(far, now=DAY + 10, width=QUARTER)
    assert [(one.since, one.until) for one in found] == [
        (DAY, DAY + QUARTER),
        (DAY + QUARTER, DAY + 2 * QUARTER),
    ]
    assert ahead(sorted([*found, *far]), now=DAY + 10, width=QUARTER) == []


def test_a_partition_that_somebody_took_away_is_made_again_between_its_neighbours() -> None:
    first = Partition.between(DAY + 2 * HOUR, DAY + 3 * HOUR)
    last = Partition.between(DAY + 5 * HOUR, DAY + 20 * HOUR)
    found = ahead([first, last], now=DAY + 4 * HOUR + 1, width=QUARTER)
    assert [(one.since, one.until) for one in found] == [(DAY + 3 * HOUR, DAY + 5 * HOUR)]
    assert ahead([last], now=DAY + 6 * HOUR, width=QUARTER) == [], "what is over needs none"


async def test_sqlite_has_one_table_and_nothing_is_made(database: URL) -> None:
    async with opened_database(database) as engine:
        made = await make_ahead(engine, 24)
        assert (made > 0) == (database.get_backend_name() == "postgresql")
        await tell(engine, new_run_id(now_of(engine)))
        async with engine.connect() as db:
            assert (await db.execute(select(func.count()).select_from(run_events))).scalar() == 1


@pytest.mark.usefixtures("migrated_anew")
async def test_rows_of_an_earlier_release_stay_and_it_goes_on_writing(postgres_url: URL) -> None:
    before = create_engine(postgres_url)
    async with before.begin() as db:
        await db.run_sync(upgrade, "0010")
        for run_id in ("r_1", f"r_{'e' * 32}", f"r_fff{'a' * 29}"):
            await db.execute(text(f"{TOLD} ('{run_id}', 1, 1, 't', 'done', '{{}}', 1.0)"))
    async with opened_database(postgres_url) as engine:
        async with engine.connect() as db:
            assert await db.run_sync(revision) == HEAD
        assert await stand(engine) == {"run_events_before": 2, "run_events_default": 1}
        await make_ahead(engine, 24)
        # The process of before has the statements and connections that it had.
        async with before.begin() as db:
            for _ in range(2):
                await db.execute(
                    text(f"{TOLD} ('r_{'d' * 32}', 7, 7, 't', 'done', '{{}}', 1.0) ON CONFLICT DO NOTHING")
                )
        assert (await stand(engine))["run_events_before"] == 3
        async with before.connect() as db:
            assert len((await db.execute(select(run_events))).all()) == 4
    await before.dispose()


async def test_no_write_fails_for_want_of_a_partition_and_its_row_moves_into_it_later(
    engine: AsyncEngine,
) -> None:
    now = now_of(engine)
    ids = [new_run_id(now), new_run_id(now + 1), new_run_id(now + 40 * DAY)]
    await tell(engine, *ids)
    assert await stand(engine) == {"run_events_default": 3}
    assert await make_ahead(engine, 24) > 0
    found = await stand(engine)
    assert found.pop("run_events_default") == 1
    assert sum(found.values()) == 2
    assert set(found) <= {one.name for one in await there(engine)}


async def test_several_processes_that_begin_at_once_make_each_partition_once(postgres_url: URL) -> None:
    engines = [await open_database(postgres_url) for _ in range(3)]
    made = await asyncio.gather(*(make_ahead(engine, 24) for engine in engines))
    found = await there(engines[0])
    assert sorted(made) == [0, 0, len(found)]
    assert all(one.until == other.since for one, other in pairwise(found))
    for engine in engines:
        await engine.dispose()


async def test_a_table_that_somebody_locks_is_left_for_the_next_time(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        await db.execute(text("LOCK TABLE run_events_default IN ACCESS SHARE MODE"))
        assert await make_ahead(engine, 24) == 0
    assert await make_ahead(engine, 24) > 0


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as db:
        for statement in statements:
            await db.execute(text(statement))


async def test_a_partition_that_was_detached_by_hand_keeps_its_name_and_the_next_has_another(
    engine: AsyncEngine,
) -> None:
    made = await make_ahead(engine, 24)
    before = [one.name for one in await there(engine)]
    await run(engine, *(f"ALTER TABLE run_events DETACH PARTITION {name}" for name in before))
    await tell(engine, new_run_id(now_of(engine)))
    assert await make_ahead(engine, 24) == made
    assert list(await stand(engine)) == [f"{before[0]}_2"]


@pytest.mark.parametrize("gone", ["DROP TABLE {}", "ALTER TABLE run_events DETACH PARTITION {}"])
async def test_the_partition_for_the_rest_is_made_again_where_somebody_took_it_away(
    engine: AsyncEngine, gone: str
) -> None:
    await make_ahead(engine, 24)
    await run(engine, gone.format("run_events_default"))
    assert await make_ahead(engine, 24) == 0
    await tell(engine, new_run_id(now_of(engine) + 400 * DAY))
    assert len(await stand(engine)) == 1


@pytest.fixture
async def lesser(postgres_url: URL, aged: tuple[World, list[str]]) -> AsyncIterator[AsyncEngine]:
    """A database whose user may read and write, and neither make nor drop a table."""
    name, owner = f"lesser_{postgres_url.database}", aged[0].engine
    await run(owner, f"CREATE ROLE {name} LOGIN", f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    engine = create_engine(postgres_url.set(username=name))
    yield engine
    await engine.dispose()
    await run(owner, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def test_a_user_that_may_make_no_tables_still_writes_and_its_old_events_still_go(
    aged: tuple[World, list[str]], lesser: AsyncEngine
) -> None:
    world, ids = aged
    assert await make_ahead(lesser, 24) == 0
    new = new_run_id(now_of(lesser))
    await tell(lesser, new)
    await ThreadUpkeep(lesser, world.threads).forget_runs(3 * DAY + 10)
    async with lesser.connect() as db:
        left = set((await db.execute(select(run_events.c.run_id))).scalars())
    assert left == {ids[2], ids[3], new}
    assert len(await there(lesser)) == 3


@pytest.fixture
async def aged(world: World) -> tuple[World, list[str]]:
    """Partitions of three times: one with ended runs, one with one that still waits, one that is new."""
    ids = [new_run_id(at) for at in (DAY, 2 * DAY, 2 * DAY, 3 * DAY)]
    async with world.engine.begin() as db:
        for one in (Partition.between(day * DAY, (day + 1) * DAY) for day in (1, 2, 3)):
            bounds = f"FROM ('r_fff{one.since:08x}') TO ('r_fff{one.until:08x}')"
            made = f"CREATE TABLE {one.name} PARTITION OF run_events FOR VALUES {bounds}"
            await db.execute(text(made))
    await world.threads.create(ADA, thread_id="t")
    for run_id, status in zip(ids, ("done", "failed", "interrupted", "done"), strict=True):
        await world.run_of("t", run_id, status=status)
    await world.run_of("t", "r_1")
    return world, ids


async def test_retention_drops_partitions_and_empties_what_it_cannot_drop(
    aged: tuple[World, list[str]],
) -> None:
    world, ids = aged
    await ThreadUpkeep(world.engine, world.threads).forget_runs(3 * DAY + 10)
    assert [one.since for one in await there(world.engine)] == [2 * DAY, 3 * DAY]
    async with world.engine.connect() as db:
        left = set((await db.execute(select(run_events.c.run_id))).scalars())
    assert left == {ids[2], ids[3]}, "one waits for a person, the other's partition is not over"


async def test_what_is_being_read_is_dropped_the_next_time(aged: tuple[World, list[str]]) -> None:
    world, ids = aged
    upkeep = ThreadUpkeep(world.engine, world.threads)
    async with world.engine.begin() as reader:
        await reader.execute(select(run_events))
        await upkeep.forget_runs(2 * DAY)
        assert len(await there(world.engine)) == 3
    await upkeep.forget_runs(2 * DAY)
    assert [one.since for one in await there(world.engine)] == [2 * DAY, 3 * DAY]
    assert (await world.rows_of("t"))["runs"] == len(ids) + 1


async def test_a_service_makes_them_at_its_start_and_its_runs_stand_in_them(
    postgres_url: URL, tmp_path: Path
) -> None:
    fakes = Fakes(model=ScriptedModel("One."))
    async with open_agent(tmp_path, providers=[fakes], storage={"url": spelled(postgres_url)}) as agent:
        reply = await agent.ask("one")
        where, made = await stand(agent.engine), {one.name for one in await there(agent.engine)}
        assert await agent.runs.follow(reply["run_id"]).__anext__()
    assert where
    assert set(where) <= made
