"""What runs took together: tokens, money and time, by day, model or user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Integer, case, cast, func, select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import is_sqlite
from graph.db.tables import runs
from graph.insight.listing import Wanted

By = Literal["day", "model", "user"]
DAY_SECONDS = 86_400
# Of models and users: those that took most.
MOST_ROWS = 400


async def costs(engine: AsyncEngine, wanted: Wanted, *, by: By) -> dict[str, Any]:
    """Sums over the runs that are meant.

    A row of `rows` has its `key` (a day as YYYY-MM-DD in UTC, a model, a user), `runs`, `failed`,
    `input_tokens`, `output_tokens`, `cost` (None where no price is known) and `seconds` that they ran.
    Days come in their order, the rest by tokens, the most first.
    """
    key = _key(engine, by)
    sums = (
        func.count(),
        func.count(case((runs.c.status == "failed", 1))),
        func.coalesce(func.sum(runs.c.input_tokens), 0),
        func.coalesce(func.sum(runs.c.output_tokens), 0),
        func.sum(runs.c.cost),
        func.coalesce(func.sum(runs.c.ended_at - runs.c.started_at), 0.0),
    )
    tokens = func.sum(runs.c.input_tokens + runs.c.output_tokens)
    order = key if by == "day" else tokens.desc()
    query = select(key, *sums).where(wanted.clause()).group_by(key).order_by(order).limit(MOST_ROWS)
    async with engine.connect() as db:
        rows = [{"key": _named(by, found[0]), **_sums(found[1:])} for found in await db.execute(query)]
        total = _sums((await db.execute(select(*sums).where(wanted.clause()))).one())
    return {"by": by, "rows": rows, "totals": total}


def _key(engine: AsyncEngine, by: By) -> Any:
    if by != "day":
        return runs.c.model if by == "model" else runs.c.owner
    days = runs.c.created_at / DAY_SECONDS
    # SQLite cuts what it makes a whole number, PostgreSQL rounds it.
    return cast(days if is_sqlite(engine) else func.floor(days), Integer)


def _named(by: By, key: Any) -> str:
    if by != "day":
        return str(key)
    return datetime.fromtimestamp(int(key) * DAY_SECONDS, UTC).date().isoformat()


def _sums(found: Sequence[Any]) -> dict[str, Any]:
    count, failed, read, wrote, cost, ran = found
    return {
        "runs": count,
        "failed": failed,
        "input_tokens": int(read),
        "output_tokens": int(wrote),
        "cost": None if cost is None else round(float(cost), 6),
        "seconds": round(float(ran), 3),
    }
