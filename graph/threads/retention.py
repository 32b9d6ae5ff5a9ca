"""Rows of runs that ended long ago, and what else grows: how much there is, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, delete, exists, func, inspect, select, text
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.outage import uninterrupted
from core.events.tables import webhook_deliveries
from core.settings.platform import ThreadSettings
from core.task_queue.tables import tasks
from graph.db.tables import items, plans, receipts, run_events, runs, threads, transcript

# Rows deleted in one transaction: nobody waits long for the lock.
BATCH = 200
_OPEN = ("queued", "running", "interrupted")


class RunRetention:
    """Forgets runs, on the database at `engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @uninterrupted
    async def forget(self, ended_before: float, *, limit: int = BATCH) -> int:
        """Remove runs that ended before then, with what they told; tells how many there were.

        The newest run of a thread stays: clients go on from it. So do those of a thread whose last turn had
        no clean end, which the next turn looks at, and what was said stays in the transcript.
        """
        later = runs.alias()
        newer = exists().where(later.c.thread_id == runs.c.thread_id, later.c.created_at > runs.c.created_at)
        torn = exists().where(threads.c.id == runs.c.thread_id, threads.c.dirty)
        over = (runs.c.ended_at < ended_before) & runs.c.status.not_in(_OPEN) & newer & ~torn
        async with self._engine.begin() as db:
            found = (await db.execute(select(runs.c.id).where(over).limit(limit))).scalars().all()
            for table, column in ((run_events, "run_id"), (receipts, "run_id"), (runs, "id")):
                await db.execute(delete(table).where(table.c[column].in_(found)))
        return len(found)


@dataclass(frozen=True, slots=True)
class TableRows:
    """How many rows a table has.

    Args:
        oldest: Epoch seconds of the oldest; None where there is none, or no time in it.
        bound: The setting that bounds it, with its value; "" where only deleting does.
    """

    table: str
    rows: int
    oldest: float | None
    bound: str

    def as_json(self) -> dict[str, Any]:
        return {"table": self.table, "rows": self.rows, "oldest": self.oldest, "bound": self.bound}


async def rows_by_table(engine: AsyncEngine, settings: ThreadSettings) -> list[TableRows]:
    """Every table that grows with use, the largest first."""
    grown: list[tuple[Table, Column[float], str]] = [
        (threads, threads.c.updated_at, f"threads.keep_days: {_days(settings.keep_days)}"),
        (transcript, transcript.c.created_at, f"threads.keep_days: {_days(settings.keep_days)}"),
        (runs, runs.c.created_at, f"threads.keep_runs_days: {_days(settings.keep_runs_days)}"),
        (run_events, run_events.c.created_at, f"threads.keep_events_hours: {settings.keep_events_hours:g}"),
        (receipts, receipts.c.started_at, f"threads.keep_events_hours: {settings.keep_events_hours:g}"),
        (tasks, tasks.c.created_at, f"threads.keep_tasks_days: {settings.keep_tasks_days:g}"),
        (webhook_deliveries, webhook_deliveries.c.created_at, "webhooks.keep_days"),
        (items, items.c.created_at, "limits.items_per_user"),
        (plans, plans.c.created_at, ""),
    ]
    checkpoints = f"threads.checkpoint_turns: {settings.checkpoint_turns or 'all'}"
    found = []
    async with engine.connect() as db:
        there = set(await db.run_sync(lambda connection: inspect(connection).get_table_names()))
        for table, column, bound in grown:
            rows, oldest = (await db.execute(select(func.count(), func.min(column)).select_from(table))).one()
            found.append(TableRows(table.name, int(rows), oldest, bound))
        for name in sorted({"checkpoints", "writes", "checkpoint_writes", "checkpoint_blobs"} & there):
            rows = (await db.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one()  # noqa: S608
            found.append(TableRows(name, int(rows), None, checkpoints))
    return sorted(found, key=lambda table: (-table.rows, table.table))


def _days(days: float) -> str:
    return f"{days:g}" if days else "for ever"
