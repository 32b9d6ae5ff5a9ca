"""What runs told, in partitions by the time at which they began: on PostgreSQL retention drops them whole.

A run's id says when it began, so that the key of a row stays (run, number), and whoever reads a run looks
into one partition. Ids of a release that did not know this, and rows for which no partition was made ahead,
have one of their own each: no write fails for want of a partition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import ColumnElement, Select, func, or_, select, text
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import is_sqlite, now_of
from core.database.outage import DATABASE_ERRORS, outage
from graph.db.tables import RUN_MARK, run_events, run_ids_from, runs

HOUR = 3_600
# A partition takes a quarter of the time for which events are kept: so much longer some of them stay.
_PARTS = 4
_LONGEST = 30 * 24 * HOUR
# Others wait for no longer than this behind one of us that waits for a table.
_PATIENCE = "SET LOCAL lock_timeout = '1s'"
_LOCK = 0x5761797374_02
_REST = "run_events_default"
_IS_REST = "DEFAULT"
_FOUND = text("""
SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass('run_events')
""")
_BOUNDS = re.compile(rf"FROM \('{RUN_MARK}([0-9a-f]{{8}})'\) TO \('{RUN_MARK}([0-9a-f]{{8}})'\)")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """The events of runs that began in a time; epoch seconds."""

    since: int
    until: int
    name: str

    @classmethod
    def between(cls, since: int, until: int) -> Partition:
        return cls(since, until, f"run_events_{datetime.fromtimestamp(since, UTC):%Y%m%d_%H}")


async def partitions(db: AsyncConnection) -> list[Partition]:
    """Those by time that are there, the oldest first."""
    return (await _found(db))[0]


async def _found(db: AsyncConnection) -> tuple[list[Partition], str]:
    """Those by time, and the name of the one that takes whatever has no other; "" where there is none."""
    if is_sqlite(db):
        return [], ""
    found = [(str(name), str(bounds)) for name, bounds in await db.execute(_FOUND)]
    by_time = [(name, _BOUNDS.search(bounds)) for name, bounds in found]
    rest = next((name for name, bounds in found if bounds == _IS_REST), "")
    return sorted(Partition(int(at[1], 16), int(at[2], 16), name) for name, at in by_time if at), rest


def width_of(keep_hours: float) -> int:
    """Seconds that a partition takes, where events are kept for so long."""
    return min(max(int(keep_hours * HOUR / _PARTS) // HOUR * HOUR, HOUR), _LONGEST)


def ahead(there: Sequence[Partition], *, now: float, width: int) -> list[Partition]:
    """What has to be made, so that there are partitions for now and for some time to come.

    They fill the time between those that are there, of whatever width these are: a clock that was wrong, or
    somebody's hand, may have left gaps and partitions of a time far ahead.
    """
    begins = max([int(now) // width * width, *(one.until for one in there if one.until <= now)])
    found = []
    while begins < now + max(width, 2 * HOUR):
        mine = next((one for one in there if one.since <= begins < one.until), None)
        if mine is None:
            later = [one.since for one in there if one.since > begins]
            mine = Partition.between(begins, min([(begins // width + 1) * width, *later]))
            if mine.until > now:
                found.append(mine)
        begins = mine.until
    return found


async def make_ahead(engine: AsyncEngine, keep_hours: float) -> int:
    """Make partitions for the time to come; how many. Nothing depends on it: without, rows go elsewhere.

    Where the database refuses it (its user may not make tables, for one), a line of the log says so.
    """
    if is_sqlite(engine):
        return 0
    width = width_of(keep_hours)
    try:
        async with engine.connect() as db:
            there, rest = await _found(db)
        if rest and not ahead(there, now=now_of(engine), width=width):
            return 0
        async with engine.begin() as db:
            await db.execute(text(_PATIENCE))
            # Several that begin together: the second finds the work done.
            await db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            there, rest = await _found(db)
            missing = ahead(there, now=now_of(engine), width=width)
            rest = rest or await _made_rest(db)
            for one in missing:
                await _make(db, one, rest)
    except DATABASE_ERRORS as error:
        log.warning("partitions_not_made", reason=_reason(error))
        return 0
    return len(missing)


def _reason(error: Exception) -> str:
    """What the database says, in a line: also that it refuses, which is for an operator to mend."""
    away = outage(error)
    first = str(getattr(error, "orig", None) or error).partition("\n")[0]
    return away.reason if away else first


async def _made_rest(db: AsyncConnection) -> str:
    """Somebody took away the one for whatever has no other: writes would fail behind the last of them."""
    name = await _free_name(db, _REST)
    await db.execute(text(f"CREATE TABLE {name} PARTITION OF run_events DEFAULT"))
    return name


async def _free_name(db: AsyncConnection, wanted: str) -> str:
    """A partition that was detached by hand is a table still, and keeps its name."""
    name, number = wanted, 1
    while (await db.execute(select(func.to_regclass(name)))).scalar() is not None:
        number += 1
        name = f"{wanted}_{number}"
    return name


async def _make(db: AsyncConnection, new: Partition, rest: str) -> None:
    # Made beside the table and attached: that stops neither who reads nor who writes.
    name = await _free_name(db, new.name)
    since, until = run_ids_from(new.since), run_ids_from(new.until)
    mine = f"run_id >= '{since}' AND run_id < '{until}'"
    moved = f"WITH moved AS (DELETE FROM {rest} WHERE {mine} RETURNING *)"  # noqa: S608 - our own names
    for statement in (
        f"CREATE TABLE {name} (LIKE run_events INCLUDING ALL)",
        f"LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE",
        f"{moved} INSERT INTO {name} SELECT * FROM moved",  # noqa: S608 - our own names
        f"ALTER TABLE run_events ATTACH PARTITION {name} FOR VALUES FROM ('{since}') TO ('{until}')",
    ):
        await db.execute(text(statement))


async def drop_over(engine: AsyncEngine, ended: ColumnElement[bool], before: float) -> int:
    """Drop the partitions of runs that began before then and have all ended; how many.

    Args:
        ended: Says of a row of `runs` that what it told need not be kept.
        before: Epoch seconds; a partition that goes on behind it stays.
    """
    async with engine.connect() as db:
        due = [one for one in await partitions(db) if one.until <= before]
    gone = 0
    for one in due:
        gone += await _dropped(engine, one, _unended(one, ended))
    return gone


async def _dropped(engine: AsyncEngine, one: Partition, unended: Select[tuple[str]]) -> bool:
    try:
        async with engine.begin() as db:
            if (await db.execute(unended)).first() is not None:
                return False
            await db.execute(text(_PATIENCE))
            await db.execute(text(f"DROP TABLE IF EXISTS {one.name}"))
    except DATABASE_ERRORS as error:
        # Somebody reads all events, for a backup perhaps: it goes the next time. Rows that are over are
        # deleted in any case.
        log.warning("partition_not_dropped", partition=one.name, reason=_reason(error))
        return False
    return True


def _unended(one: Partition, ended: ColumnElement[bool]) -> Select[tuple[str]]:
    mine = (runs.c.id >= run_ids_from(one.since)) & (runs.c.id < run_ids_from(one.until))
    return select(runs.c.id).where(mine, ~ended | runs.c.ended_at.is_(None)).limit(1)


def outside(kept: Sequence[Partition]) -> ColumnElement[bool]:
    """Says of a row of `run_events` that it stands in none of these, which follow each other."""
    if not kept:
        return run_events.c.run_id.is_not(None)
    first, last = kept[0], kept[-1]
    return or_(
        run_events.c.run_id < run_ids_from(first.since), run_events.c.run_id >= run_ids_from(last.until)
    )
