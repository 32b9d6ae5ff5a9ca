"""Many who want the database at once stand in line, and hear of an outage where the line does not move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database import engine as engines
from core.database.outage import DatabaseUnavailable

WAIT_S = 1.0
# Of SQLAlchemy's pool: kept ones, and those that come beside them.
CONNECTIONS = 5 + 10


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncEngine]:
    monkeypatch.setattr(engines, "POOL_WAIT_S", WAIT_S)
    database = engines.create_engine(URL.create("sqlite+aiosqlite", database=str(tmp_path / "a.db")))
    async with database.begin() as db:
        await db.execute(text("CREATE TABLE said (number INTEGER)"))
    yield database
    await database.dispose()


async def test_who_waits_for_a_connection_waits_on_while_others_give_theirs_back(
    database: AsyncEngine,
) -> None:
    async def look() -> int:
        async with database.connect() as db:
            await asyncio.sleep(WAIT_S / 3)
            return int((await db.execute(text("SELECT 1"))).scalar_one())

    wanted = 5 * CONNECTIONS  # the last waits for longer than anybody may wait in vain
    assert await asyncio.gather(*(look() for _ in range(wanted))) == [1] * wanted


async def test_where_no_connection_comes_back_it_is_an_outage(database: AsyncEngine) -> None:
    held = [database.connect() for _ in range(CONNECTIONS)]
    await asyncio.gather(*(one.start() for one in held))
    with pytest.raises(DatabaseUnavailable):
        async with database.connect():
            pass
    await asyncio.gather(*(one.close() for one in held))
    async with database.connect() as db:
        assert (await db.execute(text("SELECT 1"))).scalar_one() == 1


async def test_those_who_write_are_let_in_in_the_order_of_their_coming(database: AsyncEngine) -> None:
    async def say(number: int) -> None:
        async with database.begin() as db:
            await db.execute(text("INSERT INTO said VALUES (:number)"), {"number": number})

    saying = [asyncio.create_task(say(number)) for number in range(50)]
    await asyncio.sleep(0)
    saying[20].cancel()
    await asyncio.wait(saying)
    async with database.connect() as db:
        said = list((await db.execute(text("SELECT number FROM said ORDER BY rowid"))).scalars())
    assert said == [number for number in range(50) if number != 20]


async def test_a_transaction_that_does_not_end_is_an_outage_for_those_behind_it(
    database: AsyncEngine,
) -> None:
    async with database.begin():
        with pytest.raises(DatabaseUnavailable, match="held up by other writers"):
            async with database.begin():
                pass
    async with database.begin() as db:
        await db.execute(text("INSERT INTO said VALUES (1)"))


async def test_a_transaction_that_fails_lets_the_next_one_in(database: AsyncEngine) -> None:
    async def fails() -> None:
        async with database.begin() as db:
            await db.execute(text("INSERT INTO said VALUES (1)"))
            await db.execute(text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(OperationalError, match="nowhere"):
        await fails()
    async with database.begin() as db:
        assert (await db.execute(text("SELECT count(*) FROM said"))).scalar_one() == 0
