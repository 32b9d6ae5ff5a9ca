"""Threads as the service itself looks after them, whoever they belong to."""

from __future__ import annotations

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.whole import whole
from graph.db.tables import named, receipts, run_events, runs, threads, transcript
from graph.runs.new_threads import title_from
from graph.threads.history.erase import GOING
from graph.threads.history.owning import HIDDEN
from graph.threads.threads import Threads

Opening = tuple[str, str]


class ThreadUpkeep:
    """Titles for new threads, and the end of old ones."""

    def __init__(self, engine: AsyncEngine, threads: Threads) -> None:
        self._engine = engine
        self._threads = threads

    async def untitled(self, thread_id: str) -> str:
        """The first message of a thread that still has its first line for a title; "" for any other."""
        message = (
            select(transcript.c.text)
            .where(transcript.c.thread_id == thread_id, transcript.c.role == "user")
            .order_by(transcript.c.seq)
            .limit(1)
        )
        async with self._engine.connect() as db:
            title = (await db.execute(select(threads.c.title).where(threads.c.id == thread_id))).scalar()
            first = (await db.execute(message)).scalar()
        return str(first) if first and title == title_from(first) else ""

    @whole
    async def suggest(self, thread_id: str, title: str, *, instead_of: str) -> None:
        """Give the thread a title, unless its owner gave it another than `instead_of` meanwhile."""
        unchanged = (threads.c.id == thread_id) & (threads.c.title == instead_of)
        async with self._engine.begin() as db:
            await db.execute(update(threads).where(unchanged).values(**named(title=title)))

    async def unused(self, since: float, *, limit: int) -> list[tuple[Principal, str]]:
        """Threads without a run that were last used before `since` (epoch seconds), with their owners."""
        busy = exists().where(runs.c.thread_id == threads.c.id, runs.c.status.in_(GOING))
        shown = ~threads.c.owner.startswith(HIDDEN, autoescape=True)
        query = (
            select(threads.c.owner, threads.c.id)
            .where(threads.c.updated_at < since, threads.c.run_id.is_(None), shown, ~busy)
            .order_by(threads.c.updated_at)
            .limit(limit)
        )
        async with self._engine.connect() as db:
            return [(Principal(owner), thread_id) for owner, thread_id in await db.execute(query)]

    async def delete(self, owner: Principal, thread_id: str) -> None:
        """Delete a thread with all that belongs to it. Raises what `Threads.delete` raises."""
        await self._threads.delete(owner, thread_id)

    async def sweep(self, before: float) -> int:
        """Finish deletions that something interrupted before then; tells how many there were."""
        return await self._threads.eraser.sweep(before)

    @whole
    async def forget_runs(self, ended_before: float) -> None:
        """Remove the events of runs that ended before then, and the receipts of their tool calls.

        A run's row stays, with its output. Receipts of a thread whose last turn
        had no clean end stay too: the next turn answers its open calls from them.
        """
        over = (runs.c.ended_at < ended_before) & runs.c.status.not_in((*GOING, "interrupted"))
        ended = select(runs.c.id).where(over)
        torn = exists().where(threads.c.id == receipts.c.thread_id, threads.c.dirty)
        async with self._engine.begin() as db:
            await db.execute(delete(run_events).where(run_events.c.run_id.in_(ended)))
            await db.execute(delete(receipts).where(receipts.c.run_id.in_(ended), ~torn))
