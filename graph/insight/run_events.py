"""What a run told, with the time of each event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from graph.db.tables import run_events
from graph.flow.state import time_of
from graph.runs.events import TEXTS, page_end
from graph.runs.names import renewed

# Of one page: what a browser shows at once.
PAGE_CHARS = 1_000_000
# Their content says nothing of where time went.
_BULK = (*sorted(TEXTS), "tool_progress")


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event as far as it is read: `event` is empty of what is bulk. `at` is in epoch seconds."""

    seq: int
    type: str
    at: float
    event: dict[str, Any]


async def events_of(engine: AsyncEngine, run_id: str) -> list[ReadEvent]:
    """Everything that the run told, in order, without the texts of answers."""
    bulk = run_events.c.type.in_(_BULK)
    mine = run_events.c.run_id == run_id
    columns = (run_events.c.seq, run_events.c.type, run_events.c.created_at)
    light, rest = select(*columns).where(mine, bulk), select(*columns, run_events.c.data).where(mine, ~bulk)
    async with engine.connect() as db:
        found = [ReadEvent(seq, kind, at, {}) for seq, kind, at in await db.execute(light)]
        found += [
            ReadEvent(seq, kind, at, renewed(orjson.loads(data)))
            for seq, kind, at, data in await db.execute(rest)
        ]
    return sorted(found, key=lambda one: one.seq)


async def page(
    engine: AsyncEngine, run_id: str, *, after: int = 0, limit: int = 200, kind: str | None = None
) -> dict[str, Any]:
    """The next events above number `after`, each with its time as `at`; `next` leads to the next page.

    Tokens that were stored together come as one, with the number of the last of them.
    """
    where = [run_events.c.run_id == run_id, run_events.c.seq > after]
    if kind is not None:
        where.append(run_events.c.type == kind)
    sizes = select(run_events.c.seq, func.length(run_events.c.data)).where(*where)
    sizes = sizes.order_by(run_events.c.seq).limit(limit)
    async with engine.connect() as db:
        rows = (await db.execute(sizes)).all()
        last = page_end(rows, PAGE_CHARS)
        query = select(run_events.c.data, run_events.c.created_at).where(*where, run_events.c.seq <= last)
        found = (await db.execute(query.order_by(run_events.c.seq))).all() if last else []
    events = [{**renewed(orjson.loads(data)), "at": time_of(at)} for data, at in found]
    more = len(rows) == limit or len(events) < len(rows)
    return {"events": events, "next": last if more else None}
