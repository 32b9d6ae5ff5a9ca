"""Delete threads with everything that belongs to them, whatever interrupts it.

First the thread is hidden: from then on it exists for nobody, and its id stays
taken. Then go the files that tools made in it, at last all its rows in one
transaction. What a crash leaves is a hidden thread, and whoever deletes it
again or sweeps finishes the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Table, delete, exists, func, select, text, update
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal, owner_seen_by
from core.database.engine import is_sqlite, now_of
from core.database.outage import uninterrupted
from graph.db.tables import plans, receipts, run_events, runs, shared_files, threads, transcript
from graph.errors import RunNotFound, ThreadBusy, ThreadNotFound
from graph.runs.lease import check_id
from graph.threads.history import checkpoints
from graph.threads.history.owning import COMING, HIDDEN, hidden
from nodes.file_storage import FileManager, FileNotFound
from nodes.file_storage.models import Origin

# Everything that has a `thread_id`, beside LangGraph's tables.
BELONGING: Sequence[Table] = (transcript, run_events, receipts, runs, shared_files, plans)
GOING = ("queued", "running")
_MERGES = 200
_MERGE_PAGES = 500


class Eraser:
    """Deletes threads of the database at `engine` and their files."""

    def __init__(self, engine: AsyncEngine, files: FileManager) -> None:
        self._engine = engine
        self._files = files

    async def delete(self, principal: Principal, thread_id: str) -> None:
        """Delete the principal's thread.

        Raises:
            ThreadNotFound: There is none, or it is somebody else's.
            ThreadBusy: A run is going on it, or waits for its turn.
        """
        await self._hide(owner_seen_by(principal), check_id(thread_id))
        await self.finish(principal, thread_id)

    @uninterrupted
    async def forget_run(self, principal: Principal, run_id: str) -> None:
        """Remove a run with its events; what was said in it stays with its thread.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            ThreadBusy: It goes on, or waits for its turn or for a person.
        """
        mine = (runs.c.id == run_id) & (runs.c.owner == owner_seen_by(principal))
        open_still = runs.c.status.in_((*GOING, "interrupted"))
        async with self._engine.begin() as db:
            gone = await db.execute(delete(runs).where(mine, ~open_still))
            if gone.rowcount:
                await db.execute(delete(run_events).where(run_events.c.run_id == run_id))
            elif (await db.execute(select(runs.c.id).where(mine))).first():
                raise ThreadBusy(f"run '{run_id}' is not over; cancel it first")
            else:
                raise RunNotFound(run_id[:80])

    async def sweep(self, before: float) -> int:
        """Finish what was begun before then (epoch seconds), and remove rows whose thread is gone.

        Returns:
            How many hidden threads were removed.
        """
        query = select(threads.c.id, threads.c.owner).where(
            threads.c.owner.startswith(HIDDEN, autoescape=True), threads.c.updated_at < before
        )
        async with self._engine.connect() as db:
            left = (await db.execute(query)).all()
        for thread_id, owner in left:
            await self.finish(Principal(str(owner).removeprefix(HIDDEN)), thread_id)
        await self._remove_orphans()
        await self._merge_words()
        return len(left)

    @uninterrupted
    async def _hide(self, owner: str, thread_id: str) -> None:
        busy = exists().where(runs.c.thread_id == thread_id, runs.c.status.in_(GOING))
        mine = (threads.c.id == thread_id) & (threads.c.owner == owner)
        emptied: dict[str, Any] = {"title": "", "tags": [], "waiting": None, "parent": None}
        async with self._engine.begin() as db:
            gone = await db.execute(
                update(threads)
                .where(mine, threads.c.run_id.is_(None), ~busy)
                .values(owner=hidden(owner), updated_at=now_of(db), **emptied)
            )
            if gone.rowcount:
                return
            found = (await db.execute(select(threads.c.owner).where(threads.c.id == thread_id))).scalar()
        if found == owner:
            raise ThreadBusy(
                f"thread '{thread_id}' has a run going or waiting; cancel it or wait, then delete"
            )
        if found != hidden(owner):
            raise ThreadNotFound(thread_id)

    async def finish(self, principal: Principal, thread_id: str) -> None:
        """Remove everything of a hidden thread of the principal; of one that never came to be, all files."""
        origin: Origin | None = None if await self._was_coming(thread_id) else "tool"
        while found := await self._files.list(principal, origin=origin, thread=thread_id, limit=1000):
            for file in found:
                # Somebody may delete the file, or this thread, at the same time.
                with suppress(FileNotFound):
                    await self._let_go(principal, file.key, thread_id)
        await self._remove(principal, thread_id)

    async def _was_coming(self, thread_id: str) -> bool:
        query = select(threads.c.status).where(threads.c.id == thread_id)
        async with self._engine.connect() as db:
            return (await db.execute(query)).scalar() == COMING

    async def _let_go(self, principal: Principal, key: str, thread_id: str) -> None:
        """Delete a file, or hand it to a thread that was forked from this one or the other way round."""
        living = shared_files.join(threads, threads.c.id == shared_files.c.thread_id)
        query = (
            select(shared_files.c.thread_id)
            .select_from(living)
            .where(shared_files.c.key == key, threads.c.id != thread_id, threads.c.owner == principal.id)
            .order_by(threads.c.created_at)
            .limit(1)
        )
        async with self._engine.connect() as db:
            heir = (await db.execute(query)).scalar()
        if heir:
            await self._files.attach(principal, key, heir)
        else:
            await self._files.delete(principal, key)

    @uninterrupted
    async def _remove(self, principal: Principal, thread_id: str) -> None:
        async with self._engine.begin() as db:
            for table in BELONGING:
                await db.execute(delete(table).where(table.c.thread_id == thread_id))
            await checkpoints.delete_line(db, thread_id)
            mine = (threads.c.id == thread_id) & (threads.c.owner == hidden(principal.id))
            await db.execute(delete(threads).where(mine))

    @uninterrupted
    async def _remove_orphans(self) -> None:
        """Rows that somebody wrote late, for a thread that was being deleted."""
        async with self._engine.begin() as db:
            for table in BELONGING:
                there = exists().where(threads.c.id == table.c.thread_id)
                await db.execute(delete(table).where(~there))
            await checkpoints.delete_orphans(db)

    @uninterrupted
    async def _merge_words(self) -> None:
        """FTS5 only marks the words of a deleted text; merging its parts is what removes them."""
        if not is_sqlite(self._engine):
            return
        async with self._engine.connect() as db:
            known = "SELECT 1 FROM sqlite_master WHERE name = 'transcript_words'"
            if not (await db.execute(text(known))).scalar():
                return
            pages = -_MERGE_PAGES
            for _ in range(_MERGES):  # in small steps, so that writers get in between
                before = (await db.execute(select(func.total_changes()))).scalar() or 0
                merge = "INSERT INTO transcript_words (transcript_words, rank) VALUES ('merge', :pages)"
                await db.execute(text(merge), {"pages": pages})
                after = (await db.execute(select(func.total_changes()))).scalar() or 0
                await db.commit()
                if after - before < 2:
                    return
                pages = _MERGE_PAGES
