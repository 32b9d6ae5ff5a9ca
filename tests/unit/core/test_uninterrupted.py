"""Transactions are finished although their caller is cancelled, and a closed connection locks nobody out."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.database.engine import RollingBack, create_engine
from core.database.outage import finished, uninterrupted


async def test_a_cancelled_caller_waits_for_what_it_began() -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    ended = False

    @uninterrupted
    async def write() -> None:
        nonlocal ended
        begun.set()
        await go.wait()
        ended = True

    caller = asyncio.create_task(write())
    await begun.wait()
    caller.cancel()
    asyncio.get_running_loop().call_soon(go.set)
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended


async def test_results_and_errors_come_through() -> None:
    async def answer() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("no")

    assert await finished(answer()) == 7
    with pytest.raises(ValueError, match="no"):
        await finished(fail())


def test_a_connection_that_is_closed_with_a_cursor_open_gives_its_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    first = sqlite3.connect(path, factory=RollingBack)
    first.execute("PRAGMA journal_mode=WAL")
    first.execute("CREATE TABLE t (n INTEGER)")
    first.commit()
    cursor = first.execute("INSERT INTO t VALUES (1), (2) RETURNING n")
    first.close()
    with sqlite3.connect(path, timeout=0) as second:
        second.execute("INSERT INTO t VALUES (3)")
        assert second.execute("SELECT n FROM t").fetchall() == [(3,)]
    second.close()
    del cursor


async def test_callers_that_are_cancelled_in_mid_statement_lock_nobody_out(tmp_path: Path) -> None:
    engine = create_engine(make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}"))
    async with engine.begin() as db:
        await db.execute(text("CREATE TABLE t (n INTEGER)"))

    @uninterrupted
    async def add(number: int) -> None:
        async with engine.begin() as db:
            await db.execute(text("INSERT INTO t VALUES (:n) RETURNING n"), {"n": number})

    for steps in range(12):
        tasks = [asyncio.create_task(add(number)) for number in range(5)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(10):
        await add(99)
    await engine.dispose()
