"""One run at a time on a thread: a lease in the database that its holder keeps alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.access import Principal, owner_seen_by, owns
from core.database import insert_new
from core.holder import alive, is_known_dead, new_holder
from core.whole import whole
from graph.errors import ThreadBusy, ThreadNotFound
from graph.tables import threads, transcript

log = structlog.get_logger()

LEASE_SECONDS = 15.0
BEAT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class UserMessage:
    """The message that opens a turn, as the transcript keeps it."""

    id: str
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that was let in: what the thread was like before it."""

    thread_id: str
    run_id: str
    dirty: bool
    status: str
    message: UserMessage | None


class Leases:
    """Takes and gives back threads for this process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._held: set[str] = set()
        self._holder = new_holder()

    async def take(
        self, thread_id: str, run_id: str, principal: Principal, message: UserMessage | None
    ) -> Turn:
        """Take the thread for a run, making it where there is none, and store the user's message with it.

        When this returns, the message is on disk; but not on a dirty thread,
        whose earlier messages come first: there the turn stores it (`tell`).

        Raises:
            ThreadNotFound: It is somebody else's.
            ThreadBusy: Another run holds it.
        """
        self._held.add(run_id)
        taking = asyncio.create_task(self._take(thread_id, run_id, principal, message))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            # The caller went away meanwhile: what was taken for it is given back.
            await asyncio.wait([taking])
            if not taking.exception():
                turn = taking.result()
                await self.give_back(turn, status=turn.status, clean=False)
            raise
        finally:
            if taking.cancelled() or taking.exception():
                self._held.discard(run_id)

    async def _take(
        self, thread_id: str, run_id: str, principal: Principal, message: UserMessage | None
    ) -> Turn:
        async with self._engine.begin() as db:
            await self._ensure(db, thread_id, principal, message)
            row = await self._try(db, thread_id, run_id, principal) or await self._after_a_death(
                db, thread_id, run_id, principal
            )
            turn = Turn(thread_id, run_id, bool(row["dirty"]), str(row["status"]), message)
            await db.execute(
                update(threads).where(threads.c.id == thread_id).values(dirty=True, status="running")
            )
            if message and not turn.dirty:
                await _insert(db, turn)
        return turn

    @whole
    async def tell(self, turn: Turn) -> None:
        """Store the message of a turn on a dirty thread, after the repair."""
        async with self._engine.begin() as db:
            await _insert(db, turn)

    @whole
    async def give_back(self, turn: Turn, *, status: str, clean: bool) -> None:
        """End the lease, if this run still has it."""
        self._held.discard(turn.run_id)
        async with self._engine.begin() as db:
            await db.execute(
                update(threads)
                .where(threads.c.id == turn.thread_id, threads.c.run_id == turn.run_id)
                .values(
                    run_id=None,
                    holder=None,
                    lease_until=None,
                    status=status,
                    dirty=not clean,
                    updated_at=time.time(),
                )
            )

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Keeps this process's leases alive for as long as the block runs."""
        task = asyncio.create_task(self._beat())
        with alive(self._holder):
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._prolong()
            except SQLAlchemyError:
                # A database that is locked or full for a moment; the lease outlives two missed beats.
                log.exception("lease_not_prolonged")

    @whole
    async def _prolong(self) -> None:
        if not self._held:
            return
        async with self._engine.begin() as db:
            await db.execute(
                update(threads)
                .where(threads.c.holder == self._holder, threads.c.run_id.in_(self._held))
                .values(lease_until=time.time() + LEASE_SECONDS)
            )

    async def _ensure(
        self, db: AsyncConnection, thread_id: str, principal: Principal, message: UserMessage | None
    ) -> None:
        if message is None:
            return
        row = new_thread(thread_id, principal, title_from(message.text))
        await insert_new(db, threads, row)

    async def _try(
        self, db: AsyncConnection, thread_id: str, run_id: str, principal: Principal
    ) -> RowMapping | None:
        now = time.time()
        free = threads.c.run_id.is_(None) | (threads.c.lease_until < now)
        taken = await db.execute(
            update(threads)
            .where(threads.c.id == thread_id, threads.c.owner == owner_seen_by(principal), free)
            .values(
                run_id=run_id,
                holder=self._holder,
                lease_until=now + LEASE_SECONDS,
                turns=threads.c.turns + 1,
                updated_at=now,
            )
            .returning(threads.c.dirty, threads.c.status)
        )
        return taken.mappings().first()

    async def _after_a_death(
        self, db: AsyncConnection, thread_id: str, run_id: str, principal: Principal
    ) -> RowMapping:
        found = (await db.execute(select(threads).where(threads.c.id == thread_id))).mappings().first()
        if found is None or not owns(principal, found["owner"]):
            raise ThreadNotFound(thread_id)
        holder = found["holder"]
        if holder and holder != self._holder and is_known_dead(holder):
            await db.execute(
                update(threads)
                .where(threads.c.id == thread_id, threads.c.holder == holder)
                .values(run_id=None)
            )
            row = await self._try(db, thread_id, run_id, principal)
            if row:
                return row
        raise ThreadBusy(f"thread '{thread_id}' has a run going; wait for it to end or cancel it")


def new_thread(thread_id: str, principal: Principal, title: str) -> dict[str, object]:
    """A row for a thread that has had no turn."""
    now = time.time()
    return {
        "id": thread_id,
        "owner": principal.id,
        "title": title,
        "status": "idle",
        "turns": 0,
        "created_at": now,
        "updated_at": now,
        "dirty": False,
    }


def title_from(text: str) -> str:
    """The first line of a message, cut to 80 characters."""
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return line if len(line) <= 80 else line[:79] + "…"


async def _insert(db: AsyncConnection, turn: Turn) -> None:
    if turn.message is None:
        return
    row = {
        "thread_id": turn.thread_id,
        "message_id": turn.message.id,
        "role": "user",
        "text": turn.message.text,
        "extra": {"files": list(turn.message.files)} if turn.message.files else {},
        "run_id": turn.run_id,
        "created_at": time.time(),
    }
    await db.execute(insert(transcript).values(**row))
