"""The line of runs that wait for a thread, or for somebody who executes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from graph.db.tables import runs, threads
from graph.errors import QueueFull, ThreadBusy
from graph.runs.record import IN_LINE_S
from graph.runs.rows import NewRun


def first_waiting(thread_id: str, now: float) -> Select[Any]:
    """The run that is next of those that wait for the thread, and not for a time that has not come."""
    waiting = (runs.c.thread_id == thread_id) & (runs.c.status == "queued")
    waiting &= runs.c.place <= now + IN_LINE_S
    return select(runs.c.id).where(waiting).order_by(runs.c.place).limit(1)


# Made once: SQLAlchemy takes longer to put a statement together than SQLite to answer it.
_PLACES = select(runs.c.place).where(runs.c.thread_id == bindparam("thread"), runs.c.status == "queued")


async def places(db: AsyncConnection, thread_id: str) -> Sequence[float]:
    """The places of those that wait for the thread."""
    return list((await db.execute(_PLACES, {"thread": thread_id})).scalars())


def check_room(new: NewRun, queued: Sequence[float]) -> None:
    """Raises QueueFull where no more may wait."""
    if len(queued) >= new.queue_limit:
        raise QueueFull(
            f"{len(queued)} runs wait for thread '{new.thread_id}', the limit; wait for one to end"
        )


async def line_up(
    db: AsyncConnection, row: RowMapping, new: NewRun, queued: Sequence[float]
) -> tuple[float, bool]:
    """The place of a run that waits for a busy thread, and whether the one that goes on was asked to stop."""
    how = new.request.on_busy
    if how == "reject":
        raise ThreadBusy(f"thread '{new.thread_id}' has a run going; wait for it to end or cancel it")
    check_room(new, queued)
    if how == "enqueue":
        in_line = [place for place in queued if place <= row["now"] + IN_LINE_S]
        return max([row["now"], *in_line]) + 1e-3, False
    running = (runs.c.id == row["run_id"]) & (runs.c.status == "running")
    await db.execute(
        update(runs).where(running, runs.c.stop_requested.is_(None)).values(stop_requested="supersede")
    )
    return min([row["now"], *queued]) - 1e-3, True


def first_place(row: RowMapping, queued: Sequence[float]) -> float:
    """The place before all that wait, for a run that would begin now if somebody executed it here."""
    return min([float(row["now"]), *(place - 1e-3 for place in queued)])


async def line_up_again(
    db: AsyncConnection, row: RowMapping, kept: RowMapping, values: Mapping[str, Any]
) -> RowMapping:
    """Let a run that paused wait for a worker; nothing waits for a person any more."""
    place = first_place(row, await places(db, row["id"]))
    waits = {"status": "queued", "reason": "", "place": place, "ended_at": None, **values}
    idle = update(threads).where(threads.c.id == row["id"])
    await db.execute(idle.values(status="idle", waiting=None, updated_at=row["now"]))
    changed = update(runs).where(runs.c.id == kept["id"]).values(waits).returning(*runs.c)
    return (await db.execute(changed)).mappings().one()
