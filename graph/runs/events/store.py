"""Events of runs in the database: written behind the turn, read by whoever comes later or sits elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.database.engine import now_of
from graph.db.tables import run_events
from graph.runs.events.log import TEXTS, LoggedEvent, line_of

# Neighbouring tokens become one row up to this many characters.
JOINED_LETTERS = 8_000
PAGE_ROWS = 200
# What a reader that is slower than its run has in memory, unless a single event is larger.
PAGE_LETTERS = 64 * 1024


class EventStore:
    """Reads and writes rows of `run_events`. Rights are the caller's business (see `Runs`)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, run_id: str, after: int, *, limit: int = PAGE_ROWS) -> list[LoggedEvent]:
        """The next events above number `after`: up to `limit` rows, and no more than a slow reader may hold.

        Tokens that were stored together come as one, with the number of the last
        of them; what the reader has of its text already is cut off.
        """
        newer = (run_events.c.run_id == run_id) & (run_events.c.seq > after)
        sizes = select(run_events.c.seq, func.length(run_events.c.data)).where(newer)
        async with self._engine.connect() as db:
            last = _page_end((await db.execute(sizes.order_by(run_events.c.seq).limit(limit))).all())
            page = select(run_events).where(newer, run_events.c.seq <= last).order_by(run_events.c.seq)
            return [_entry(row, after) for row in (await db.execute(page)).mappings()] if last else []

    async def spoken(self, run_id: str) -> str:
        """The text of an answer that was cut: tokens since the last thing that was no token."""
        async with self._engine.connect() as db:
            return await spoken(db, run_id)


async def spoken(db: AsyncConnection, run_id: str) -> str:
    """See `EventStore.spoken`."""
    query = (
        select(run_events.c.type, run_events.c.data)
        .where(run_events.c.run_id == run_id)
        .order_by(run_events.c.seq.desc())
    )
    parts: list[str] = []
    for kind, data in await db.execute(query):
        if kind != "token":
            break
        parts.append(orjson.loads(data)["text"])
    return "".join(reversed(parts))


async def store(db: AsyncConnection, thread_id: str, entries: Sequence[LoggedEvent]) -> None:
    """Add events, neighbouring tokens as one row."""
    rows = [_row(thread_id, group, now=now_of(db)) for group in _groups(entries)]
    if rows:
        await db.execute(insert(run_events), rows)


def _groups(entries: Sequence[LoggedEvent]) -> Iterator[list[LoggedEvent]]:
    group: list[LoggedEvent] = []
    letters = 0
    for entry in entries:
        kind = entry.event["type"]
        joins = group and kind in TEXTS and kind == group[-1].event["type"]
        if group and not (joins and letters + entry.size < JOINED_LETTERS):
            yield group
            group, letters = [], 0
        group.append(entry)
        letters += entry.size
    if group:
        yield group


def _page_end(sizes: Sequence[Any]) -> int:
    """The last number of a page that begins with the first row; 0 when there is none."""
    last, letters = 0, 0
    for seq, length in sizes:
        letters += length
        if last and letters > PAGE_LETTERS:
            break
        last = seq
    return last


def _row(thread_id: str, group: Sequence[LoggedEvent], *, now: float) -> dict[str, Any]:
    first, last = group[0], group[-1]
    event, line, cuts = last.event, last.line, None
    if len(group) > 1:
        texts = [entry.event["text"] for entry in group]
        line = line_of({**event, "text": "".join(texts)})
        cuts = [len(text) for text in texts]
    return {
        "run_id": event["run_id"],
        "seq": last.seq,
        "first": first.seq,
        "thread_id": thread_id,
        "type": event["type"],
        # PostgreSQL holds no NUL in text; JSON can spell it, and orjson does so itself.
        "data": line.decode(),
        "cuts": cuts,
        "created_at": now,
    }


def _entry(row: Any, after: int) -> LoggedEvent:
    event: dict[str, Any] = orjson.loads(row["data"])
    if row["cuts"] and row["first"] <= after:
        known = sum(row["cuts"][: after - row["first"] + 1])
        event["text"] = event["text"][known:]
    return LoggedEvent(event)
