"""Rows that are inserted in the driver's own words stand there as SQLAlchemy reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from graph.db.database import opened_database, writer_of
from graph.db.tables import Inserting, add_rows, receipts, transcript

MESSAGES = Inserting(transcript, new_only=True)


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    async with opened_database(database) as engine:
        yield engine


def message(name: str, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "thread_id": "t",
        "message_id": name,
        "role": "user",
        "text": name,
        "extra": {},
        "run_id": None,
    }
    return {**row, "created_at": 1.5, "words": name, **more}


async def kept(engine: AsyncEngine) -> list[tuple[str, str, Any]]:
    async with engine.connect() as db:
        query = select(transcript.c.message_id, transcript.c.text, transcript.c.extra)
        return [tuple(row) for row in await db.execute(query.order_by(transcript.c.seq))]


async def test_values_come_back_as_they_were_from_the_writer_and_from_a_transaction(
    engine: AsyncEngine,
) -> None:
    odd = message("odd", text="100 % of 'half' \ud800 pairs?", extra={"files": ["a%sb", None, 1.5]})

    async def work(db: AsyncConnection) -> None:
        await add_rows(db, MESSAGES, [odd, message("second")])

    await writer_of(engine).talk(work)
    async with engine.begin() as db:
        await add_rows(db, MESSAGES, [message("second", text="another"), message("third")])
    assert [(name, extra) for name, _, extra in await kept(engine)] == [
        ("odd", odd["extra"]),
        ("second", {}),
        ("third", {}),
    ]
    texts = [text for _, text, _ in await kept(engine)]
    assert texts[0].startswith("100 % of 'half' ")
    assert texts[1:] == ["second", "third"], "a row that is there stays as it is"


async def test_work_that_the_database_refuses_is_undone_whole_and_named_as_ever(engine: AsyncEngine) -> None:
    async def work(db: AsyncConnection) -> None:
        await add_rows(db, MESSAGES, [message("kept for a moment")])
        row = {"run_id": "r", "call_id": "c", "thread_id": "t", "started_at": 1.0}
        await add_rows(db, Inserting(receipts), [row])
        await add_rows(db, Inserting(receipts), [row])

    with pytest.raises(IntegrityError):
        await writer_of(engine).talk(work)
    assert await kept(engine) == []
