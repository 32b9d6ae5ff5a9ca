"""What a group of SQLite's leaves when it cannot be committed as a whole."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.database.outage import DatabaseUnavailable
from core.database.units import Unit
from core.database.writer import Entry
from graph.db.database import opened_database, writer_of


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with opened_database(make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}")) as engine:
        async with engine.begin() as db:
            await db.execute(text("CREATE TABLE marks (number INTEGER UNIQUE, said TEXT)"))
        yield engine


def mark(number: int) -> Unit:
    """A unit that leaves a row; the same number a second time is an error."""
    return Unit(statements=[("INSERT INTO marks VALUES (?, '')", [(number,)])])


async def outcomes(engine: AsyncEngine, *units: Unit) -> list[type[Any]]:
    found = await asyncio.gather(*map(writer_of(engine).write, units), return_exceptions=True)
    return [type(each) for each in found]


async def numbers(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as db:
        return list((await db.execute(text("SELECT number FROM marks ORDER BY number"))).scalars())


async def test_who_stands_behind_one_for_which_the_disk_is_full_is_written_once(engine: AsyncEngine) -> None:
    async def too_much(db: AsyncConnection) -> None:
        await db.execute(text("PRAGMA max_page_count = 1"))  # no page more than there are
        try:
            await db.execute(text("INSERT INTO marks VALUES (-1, :much)"), {"much": "m" * 100_000})
        finally:
            await db.execute(text("PRAGMA max_page_count = 1073741823"))

    found = await outcomes(engine, mark(0), Unit(work=too_much), mark(1))
    assert found == [type(None), DatabaseUnavailable, type(None)]
    assert await numbers(engine) == [0, 1]


async def test_what_was_written_alone_stands_although_the_next_one_is_locked_out(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [mark(number) for number in range(3)]
    group: Any = writer_of(engine)._group
    tried = group._tried

    def locked(db: Any, entries: Sequence[Entry], how: Any) -> Any:
        if len(entries) > 1:
            return [None] * len(entries), False  # as where the commit found the disk full
        if entries[0].unit is units[1]:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return tried(db, entries, how)

    monkeypatch.setattr(group, "_tried", locked)
    assert await outcomes(engine, *units) == [type(None), DatabaseUnavailable, type(None)]
    assert await numbers(engine) == [0, 2]
