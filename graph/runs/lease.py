"""One run at a time on a thread: a lease in the database, with a number that fences off earlier holders.

A thread's `fence` grows each time the thread is taken. Whoever holds it works
inside of `fenced`; checkpoints, events, receipts and endings are written only
where the number is still the thread's, in the transaction that writes them. So
a holder that was believed dead and goes on after all changes nothing.

How threads come to be stands here too: their ids, first row and title, and how many a user may have.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Float, RowMapping, bindparam, select, true, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import Principal
from core.database.engine import CLOCK, clock_in, is_sqlite
from core.database.line import Fence
from core.database.outage import DATABASE_ERRORS, DatabaseUnavailable, log_failure, uninterrupted
from core.holder import alive, is_known_dead, new_holder
from graph.db.database import writer_of
from graph.db.tables import named, threads
from graph.errors import InvalidThreadId, LeaseLost, ThreadBusy, ThreadNotFound

log = structlog.get_logger()

LEASE_SECONDS = 15.0
BEAT_SECONDS = 5.0
_UPKEEP = "upkeep_"


class LeaseState(StrEnum):
    """Whether a thread can be taken: ORPHANED means that its holder is gone."""

    FREE = "free"
    HELD = "held"
    ORPHANED = "orphaned"


@dataclass(frozen=True, slots=True)
class Hold:
    """A thread that was taken: for which run, its fencing number, and what its row said before.

    Args:
        born: Since when there is the thread, to know it from one of the same name that was deleted.
    """

    thread_id: str
    run_id: str
    fence: int
    dirty: bool = False
    born: float = 0.0


_hold: ContextVar[Hold | None] = ContextVar("waystation_hold", default=None)


def holding() -> Hold | None:
    """What this task has taken, if anything."""
    return _hold.get()


def hold_on(thread_id: str) -> Hold:
    """What this task has taken, when it is this thread.

    Raises:
        LeaseLost: It has not taken the thread.
    """
    hold = _hold.get()
    if hold is None or hold.thread_id != thread_id:
        raise LeaseLost(
            f"thread '{thread_id}' is not held by whoever wants to write to it; in Python"
            f" `async with agent.holding('{thread_id}') as config:` holds it for the block"
        )
    return hold


@contextmanager
def fenced(thread_id: str, number: int, *, run_id: str = "") -> Iterator[Hold]:
    """The block, and tasks made in it, write to the thread as the holder with this fencing number."""
    with held(Hold(thread_id, run_id, number)) as hold:
        yield hold


@contextmanager
def held(hold: Hold) -> Iterator[Hold]:
    """The same for a hold that was taken."""
    token = _hold.set(hold)
    try:
        yield hold
    finally:
        _hold.reset(token)


# Made once: SQLAlchemy takes longer to put a statement together than SQLite to answer it.
_MINE = threads.c.id == bindparam("thread")
# SQLite has one lock, which a write takes: a transaction that begins by reading may not write later.
_LOCKED_ON_SQLITE = (
    update(threads)
    .where(_MINE)
    .values(fence=threads.c.fence)
    .returning(threads, bindparam("clock", type_=Float).label("now"))
)
_CHANGE = update(threads).where(_MINE)
_LOCKED = select(threads, CLOCK.label("now")).where(_MINE).with_for_update()


async def locked(db: AsyncConnection, thread_id: str) -> RowMapping | None:
    """The thread's row, which nobody else changes until the transaction ends, and `now`; or None."""
    if is_sqlite(db):
        given = {"thread": thread_id, "clock": time.time()}
        found = await db.execute(_LOCKED_ON_SQLITE, given)
    else:
        found = await db.execute(_LOCKED, {"thread": thread_id})
    row: RowMapping | None = found.mappings().first()
    return row


async def take(db: AsyncConnection, row: Mapping[str, Any] | RowMapping, run_id: str, holder: str) -> Hold:
    """Take a thread whose row is locked and that is not held. It is dirty until its run ends well."""
    now = row["now"]
    values: dict[str, object] = {
        "run_id": run_id,
        "holder": holder,
        "lease_until": now + LEASE_SECONDS,
        "fence": row["fence"] + 1,
        "dirty": True,
    }
    if not run_id.startswith(_UPKEEP):
        values |= {"status": "running", "waiting": None, "updated_at": now}
    await db.execute(_CHANGE, {"thread": row["id"], **values})
    return Hold(str(row["id"]), run_id, row["fence"] + 1, bool(row["dirty"]), row["created_at"])


async def let_go(db: AsyncConnection, hold: Hold, **values: object) -> None:
    """Give a thread back, with what else becomes of its row. Raises LeaseLost."""
    released = {"run_id": None, "holder": None, "lease_until": None, **values}
    await _write_held(db, hold, threads.c.run_id.is_not(None), released)


async def assert_held(db: AsyncConnection, hold: Hold) -> None:
    """Make sure, until the transaction ends, that the thread is still held. Raises LeaseLost."""
    await _write_held(db, hold, true(), {"fence": threads.c.fence})


async def _write_held(
    db: AsyncConnection, hold: Hold, also: ColumnElement[bool], values: Mapping[str, object]
) -> None:
    mine = (threads.c.id == hold.thread_id) & (threads.c.fence == hold.fence) & also
    # By what it returns: in a pipeline nobody knows how many rows a statement met.
    if (
        await db.execute(update(threads).where(mine).values(**values).returning(threads.c.id))
    ).first() is None:
        raise LeaseLost(f"thread '{hold.thread_id}' was taken over")


def fence_of(hold: Hold) -> Fence:
    """For the writer: what it writes for the holder stands under this number."""
    return Fence(hold.thread_id, hold.fence, lambda: LeaseLost(f"thread '{hold.thread_id}' was taken over"))


class Claiming:
    """Names runs that are about to be taken; called also from the writer's thread."""

    def __init__(self, held: dict[str, bool]) -> None:
        self._held = held
        self.named: set[str] = set()

    def __call__(self, run_id: str) -> None:
        self.named.add(run_id)
        self._held.setdefault(run_id, False)


class Leases:
    """Keeps the threads that this process has taken.

    Args:
        lost: Called with the run id of each that somebody else has taken over.
    """

    def __init__(self, engine: AsyncEngine, *, lost: Callable[[str], None] = lambda _: None) -> None:
        self._writer = writer_of(engine)
        self._lost = lost
        # Run id -> whether the thread has been taken for it by now.
        self._held: dict[str, bool] = {}
        self._ending: set[str] = set()
        self.holder = new_holder()

    def keeps(self, run_id: str) -> bool:
        """Whether somebody in this process begins, executes or ends the run."""
        return run_id in self._held or run_id in self._ending

    def state_of(self, row: RowMapping) -> LeaseState:
        """Whether this process can take the thread; the row comes with `now` (see `locked`)."""
        if row["run_id"] is None:
            return LeaseState.FREE
        if row["holder"] == self.holder:
            # Its beginning was stored, and told as failed: the answer was lost with the database.
            gone = not self.keeps(row["run_id"])
        else:
            gone = is_known_dead(str(row["holder"]))
        if not gone and (row["lease_until"] or 0.0) >= row["now"]:
            return LeaseState.HELD
        # Upkeep that died leaves no run behind, and the thread shows what it showed.
        return LeaseState.FREE if row["run_id"].startswith(_UPKEEP) else LeaseState.ORPHANED

    @contextmanager
    def beginning(self, run_id: str) -> Iterator[Callable[[], None]]:
        """The block may take the thread for the run, and says so by a call; else the lease is not kept."""
        self._held.setdefault(run_id, False)

        def taken() -> None:
            self._held[run_id] = True

        try:
            yield taken
        finally:
            if not self._held.get(run_id):  # another request may have begun it here
                self.drop(run_id)

    @contextmanager
    def claiming(self) -> Iterator[Claiming]:
        """The block takes threads for runs that it finds, and names each before: it has all, or fails."""
        claiming = Claiming(self._held)
        try:
            yield claiming
        except BaseException:
            for run_id in claiming.named:
                self.drop(run_id)
            raise
        self._held.update(dict.fromkeys(claiming.named, True))

    @contextmanager
    def ending(self, run_id: str) -> Iterator[None]:
        """The block gives the thread back. Where the database is away meanwhile, it is held on."""
        self.drop(run_id)
        self._ending.add(run_id)
        try:
            yield
        except DatabaseUnavailable:
            self._held[run_id] = True
            raise
        finally:
            self._ending.discard(run_id)

    def drop(self, run_id: str) -> None:
        """Prolong it no more. Call it before the thread is given back."""
        self._held.pop(run_id, None)

    @asynccontextmanager
    async def borrow(self, thread_id: str, left: Mapping[str, object] | None = None) -> AsyncIterator[Hold]:
        """Hold the thread for upkeep: no run goes on meanwhile, and the block may write to it.

        Args:
            left: What the block leaves for the thread's row, written when the thread is given back.

        Raises:
            ThreadNotFound: There is none.
            ThreadBusy: It has a run going.
        """
        key = f"{_UPKEEP}{secrets.token_hex(12)}"
        with self.beginning(key):
            hold = await self._borrowed(thread_id, key)
            try:
                with fenced(thread_id, hold.fence) as mine:
                    yield mine
            finally:
                await self._return(hold, left or {})

    async def _borrowed(self, thread_id: str, key: str) -> Hold:
        task = asyncio.create_task(self._borrow(thread_id, key))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.exception():
                await self._return(task.result(), {})
            raise

    async def _borrow(self, thread_id: str, key: str) -> Hold:
        async def work(db: AsyncConnection) -> Hold:
            row = await locked(db, thread_id)
            if row is None:
                raise ThreadNotFound(thread_id)
            if self.state_of(row) is not LeaseState.FREE:
                raise ThreadBusy(f"thread '{thread_id}' has a run going; wait for it to end")
            return await take(db, row, key, self.holder)

        return await self._writer.talk(work)

    @uninterrupted
    async def _return(self, hold: Hold, left: Mapping[str, object]) -> None:
        async def work(db: AsyncConnection) -> None:
            await let_go(db, hold, **{"dirty": hold.dirty, **left})

        # With what the block handed over and nobody waited for.
        await self._writer.talk(work, fence=fence_of(hold))

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Keeps this process's leases alive for as long as the block runs."""
        task = asyncio.create_task(self._beat())
        with alive(self.holder):
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self.prolong()
            except DATABASE_ERRORS as error:
                # A database that is locked or full for a moment; the lease outlives two missed beats.
                log_failure(log, "lease_not_prolonged", error)

    @uninterrupted
    async def prolong(self) -> None:
        """One beat: prolong what is held, and say what was lost."""
        if not self._held:
            return
        # Copied at once: the writer's thread may be taking another.
        taken = {run_id for run_id, is_taken in list(self._held.items()) if is_taken}
        mine = (threads.c.holder == self.holder) & threads.c.run_id.in_(list(self._held))

        async def work(db: AsyncConnection) -> set[str]:
            beat = update(threads).where(mine).values(lease_until=clock_in(db) + LEASE_SECONDS)
            return {row[0] for row in await db.execute(beat.returning(threads.c.run_id))}

        kept = await self._writer.talk(work)
        for run_id in taken - kept:
            if run_id in self._held:  # it may have ended meanwhile
                self._lost(run_id)


_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_id(value: object) -> bool:
    """True for 1 to 64 of A-Z a-z 0-9 _ -."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def check_id(value: str) -> str:
    """The id itself.

    Raises:
        InvalidThreadId: It is not 1 to 64 of A-Z a-z 0-9 _ -.
    """
    if not is_id(value):
        raise InvalidThreadId(f"'{value[:80]}' is not a valid id; use 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def new_id(prefix: str) -> str:
    """A fresh id that tells nothing: 16 random bytes behind a letter."""
    return f"{prefix}_{secrets.token_hex(16)}"


def new_thread(thread_id: str, principal: Principal, title: str, *, now: float) -> dict[str, object]:
    """A row for a thread that has had no turn."""
    return {
        "id": thread_id,
        "owner": principal.id,
        **named(title=title, tags=[]),
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
