"""Makes the folded words of rows that have none: an older release wrote them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from sqlalchemy import Column, RowMapping, Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from graph.db.folding import folded_tags, folded_title, indexed
from graph.db.tables import threads, transcript

BATCH = 200

_log = structlog.get_logger(__name__)


async def refold(engine: AsyncEngine) -> None:
    """Make what is missing, `BATCH` rows in a transaction: what one start leaves, the next goes on with."""
    done = await _all(engine, transcript, transcript.c.seq, transcript.c.words, _of_message)
    done += await _all(engine, threads, threads.c.id, threads.c.title_folded, _of_thread)
    if done:
        _log.info("words_folded", rows=done)


def _of_message(row: RowMapping) -> dict[str, str]:
    return {"words": indexed(row["text"])}


def _of_thread(row: RowMapping) -> dict[str, str]:
    return {"title_folded": folded_title(row["title"]), "tags_folded": folded_tags(row["tags"] or ())}


async def _all(
    engine: AsyncEngine,
    table: Table,
    key: Column[Any],
    missing: Column[Any],
    made: Callable[[RowMapping], Mapping[str, str]],
) -> int:
    done = 0
    while True:
        # Not `begin` for both: reading first and writing then is what SQLite refuses when another writes.
        async with engine.connect() as db:
            rows = (await db.execute(select(table).where(missing.is_(None)).limit(BATCH))).mappings().all()
        if not rows:
            return done
        changes = [{"_key": row[key.name], **made(row)} for row in rows]
        values: dict[str, Any] = {name: bindparam(name) for name in changes[0] if name != "_key"}
        async with engine.begin() as db:
            await db.execute(update(table).where(key == bindparam("_key")).values(values), changes)
        done += len(rows)
