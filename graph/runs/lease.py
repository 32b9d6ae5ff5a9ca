"""One run at a time on a thread: a lease in the database, with a number that fences off earlier holders."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum

import structlog
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.access import Principal
from core.database.engine import clock_in, is_sqlite
from core.database.outage import DATABASE_ERRORS, DatabaseUnavailable, tell_failure
from core.holder import alive, is_known_dead, new_holder
from core.whole import whole
from graph.db.tables import named, threads
from graph.errors import LeaseLost, ThreadBusy, ThreadNotFound
from graph.runs.fence import Hold, fenced

log = structlog.get_logger()

LEASE_SECONDS = 15.0
BEAT_SECONDS = 5.0
_UPKEEP = "upkeep_"


class Standing(StrEnum):
    """Whether a thread can be taken: ORPHANED means that its holder is gone."""

    FREE = "free"
    HELD = "held"
    ORPHANED = "orphaned"


@dataclass(frozen=True, slots=True)
class Turn:
    """A thread that was taken for a run: its fencing number, and what it was like before."""

    thread_id: str
    run_id: str
    fence: int
    dirty: bool
    status: str

    @property
    def hold(self) -> Hold:
        return Hold(self.thread_id, self.run_id, self.fence)


async def locked(db: AsyncConnection, thread_id: str) -> RowMapping | None:
    """The thread's row, which nobody else changes until the transaction ends, and `now`; or None."""
    mine, now = threads.c.id == thread_id, clock_in(db).label("now")
    # SQLite has one lock, which a write takes: a transaction that begins by reading may not write later.
    by_writing = update(threads).where(mine).values(fence=threads.c.fence).returning(threads, now)
    query = by_writing if is_sqlite(db) else select(threads, now).where(mine).with_for_update()
    return (await db.execute(query)).mappings().first()


def standing(row: RowMapping, leases: Leases) -> Standing:
    """Whether the thread can be taken by the process of `leases`; the row comes with `now` (see `locked`)."""
    if row["run_id"] is None:
        return Standing.FREE
    if row["holder"] == leases.holder:
        # Its beginning was stored, and told as failed: the answer was lost with the database.
        gone = not leases.keeps(row["run_id"])
    else:
        gone = is_known_dead(str(row["holder"]))
    if not gone and (row["lease_until"] or 0.0) >= row["now"]:
        return Standing.HELD
    # Upkeep that died leaves no run behind, and the thread shows what it showed.
    return Standing.FREE if row["run_id"].startswith(_UPKEEP) else Standing.ORPHANED


async def take(db: AsyncConnection, row: RowMapping, run_id: str, holder: str) -> Turn:
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
    await db.execute(update(threads).where(threads.c.id == row["id"]).values(values))
    return Turn(str(row["id"]), run_id, row["fence"] + 1, bool(row["dirty"]), str(row["status"]))


async def let_go(db: AsyncConnection, turn: Turn, **values: object) -> None:
    """Give a thread back, with what else becomes of its row.

    Raises:
        LeaseLost: Somebody has taken it over.
    """
    mine = (threads.c.id == turn.thread_id) & (threads.c.fence == turn.fence) & threads.c.run_id.is_not(None)
    gone = update(threads).where(mine).values(run_id=None, holder=None, lease_until=None, **values)
    if not (await db.execute(gone)).rowcount:
        raise LeaseLost(f"thread '{turn.thread_id}' was taken over")


async def assert_held(db: AsyncConnection, hold: Hold) -> None:
    """Make sure, until the transaction ends, that the thread is still held under this number.

    Raises:
        LeaseLost: Somebody has taken it over.
    """
    mine = (threads.c.id == hold.thread_id) & (threads.c.fence == hold.fence)
    kept = update(threads).where(mine).values(fence=threads.c.fence)
    if not (await db.execute(kept)).rowcount:
        raise LeaseLost(f"thread '{hold.thread_id}' was taken over")


class Leases:
    """Keeps the threads that this process has taken.

    `lost` is called with the run id of each that somebody else has taken over.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Run id -> whether the thread has been taken for it by now.
        self._held: dict[str, bool] = {}
        self._ending: set[str] = set()
        self.holder = new_holder()
        self.lost: Callable[[str], None] = lambda _: None

    def keep(self, run_id: str) -> None:
        """Prolong the lease of this run from now on. Call it before the thread is taken."""
        self._held.setdefault(run_id, False)

    def holds(self, run_id: str) -> bool:
        """Whether a run that goes on in this process holds its thread."""
        return self._held.get(run_id, False)

    def keeps(self, run_id: str) -> bool:
        """Whether somebody in this process begins, executes or ends the run."""
        return run_id in self._held or run_id in self._ending

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

    def taken(self, run_id: str) -> None:
        """The thread was taken: from now on it can be lost."""
        self._held[run_id] = True

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
        self.keep(key)
        try:
            turn = await self._borrowed(thread_id, key)
            try:
                with fenced(thread_id, turn.fence) as hold:
                    yield hold
            finally:
                await self._return(turn, left or {})
        finally:
            self.drop(key)

    async def _borrowed(self, thread_id: str, key: str) -> Turn:
        task = asyncio.create_task(self._borrow(thread_id, key))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.exception():
                await self._return(task.result(), {})
            raise

    async def _borrow(self, thread_id: str, key: str) -> Turn:
        async with self._engine.begin() as db:
            row = await locked(db, thread_id)
            if row is None:
                raise ThreadNotFound(thread_id)
            if standing(row, self) is not Standing.FREE:
                raise ThreadBusy(f"thread '{thread_id}' has a run going; wait for it to end")
            return await take(db, row, key, self.holder)

    @whole
    async def _return(self, turn: Turn, left: Mapping[str, object]) -> None:
        async with self._engine.begin() as db:
            await let_go(db, turn, **{"dirty": turn.dirty, **left})

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
                tell_failure(log, "lease_not_prolonged", error)

    @whole
    async def prolong(self) -> None:
        """One beat: prolong what is held, and say what was lost."""
        if not self._held:
            return
        taken = {run_id for run_id, is_taken in self._held.items() if is_taken}
        mine = (threads.c.holder == self.holder) & threads.c.run_id.in_(list(self._held))
        async with self._engine.begin() as db:
            beat = update(threads).where(mine).values(lease_until=clock_in(db) + LEASE_SECONDS)
            kept = {row[0] for row in await db.execute(beat.returning(threads.c.run_id))}
        for run_id in taken - kept:
            if run_id in self._held:  # it may have ended meanwhile
                self.lost(run_id)


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
