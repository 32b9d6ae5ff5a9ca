"""Looking runs up: those that go on here, by id for their owner, and by what has to be done for them."""

from __future__ import annotations

from collections import Counter, UserDict
from collections.abc import Collection, Sequence
from typing import Any

import structlog
from sqlalchemy import BindParameter, ColumnElement, Select, func, select, tuple_
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal, owner_seen_by, owns
from core.cursor import is_cursor, place_of
from core.database.engine import StoreEngine, clock_in, now_of
from graph.db.tables import runs, threads
from graph.errors import RunNotFound
from graph.runs.lease import Leases, LeaseState
from graph.runs.record import ACTIVE, CURSOR, IN_LINE_S, Run, RunRecord, record_of

log = structlog.get_logger()


class LiveRuns(UserDict[str, Run]):
    """The runs that go on in this process, by id, and how many each user has.

    A turn that begins asks that several times: nobody looks through all of them for it.
    """

    def __init__(self) -> None:
        self._by_user: Counter[str] = Counter()
        super().__init__()

    def __setitem__(self, run_id: str, run: Run) -> None:
        self.pop(run_id, None)
        super().__setitem__(run_id, run)
        self._by_user[run.request.principal.id] += 1

    def __delitem__(self, run_id: str) -> None:
        user = self[run_id].request.principal.id
        super().__delitem__(run_id)
        self._by_user[user] -= 1
        if not self._by_user[user]:
            del self._by_user[user]

    def count_of(self, user: str) -> int:
        """How many of them are this user's."""
        return self._by_user[user]

    def lost(self, run_id: str) -> None:
        """Another process has taken the run's thread over."""
        if run_id in self:
            log.warning("lease_lost", run_id=run_id)
            self[run_id].stop("lost")

    async def known(self, lookup: RunLookup, principal: Principal, run_id: str) -> RunRecord:
        """The run, without a look into the database where it goes on here.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
        """
        run = self.get(run_id)
        if run is not None and owns(principal, run.request.principal.id):
            return run.record
        return await lookup.get(principal, run_id)


# A thread that nobody holds, and what may begin on it before a question has its answer.
_INSTEAD = runs.c.request["on_busy"].as_string() == "interrupt"
FREE = threads.c.run_id.is_(None) & ((threads.c.status != "interrupted") | _INSTEAD)
# Who takes a run up does so at once: where nobody has within this, nobody is there.
AT_ONCE_S = 1.0


def queued_by(now: float | BindParameter[float], tags: Sequence[str] | None = None) -> ColumnElement[bool]:
    """Runs that wait and whose time has come; of these tags, where any are named, "" for those without."""
    waiting = (runs.c.status == "queued") & (runs.c.place <= now + IN_LINE_S)
    return waiting if tags is None else waiting & func.coalesce(runs.c.tag, "").in_(tags)


def is_first() -> ColumnElement[bool]:
    """No other run waits for the thread at a place before this one's."""
    other = runs.alias("other")
    before = (other.c.thread_id == runs.c.thread_id) & (other.c.status == "queued")
    return ~select(other.c.id).where(before, other.c.place < runs.c.place).exists()


class RunLookup:
    """Reads rows of `runs`, for the process that `leases` belongs to.

    Args:
        tags: Runs that this process takes up, see `Duty.columns`.
    """

    def __init__(self, engine: AsyncEngine, leases: Leases, *, tags: Sequence[str] | None = None) -> None:
        self._engine = engine
        self._leases = leases
        self.tags = tags

    async def get(self, principal: Principal, run_id: str) -> RunRecord:
        """The run.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
        """
        record = await self.find(run_id)
        if record is None or not owns(principal, record.request.principal.id):
            raise RunNotFound(run_id[:80])
        return record

    async def find(self, run_id: str) -> RunRecord | None:
        """The run, whoever it belongs to."""
        async with self._engine.connect() as db:
            # One statement needs no transaction: PostgreSQL would be asked three times.
            await db.execution_options(isolation_level="AUTOCOMMIT")
            row = (await db.execute(select(runs).where(runs.c.id == run_id))).mappings().first()
        return record_of(row) if row else None

    async def list(
        self,
        principal: Principal,
        *,
        thread_id: str | None = None,
        status: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Sequence[RunRecord]:
        """The principal's runs, the newest first.

        Args:
            after: `cursor` of the last run of the page before, or its id while it is there.
        """
        query = select(runs).where(runs.c.owner == owner_seen_by(principal))
        if thread_id is not None:
            query = query.where(runs.c.thread_id == thread_id)
        if status is not None:
            query = query.where(runs.c.status == status)
        if after is not None:
            place = tuple_(runs.c.created_at, runs.c.id)
            query = query.where(place < await self._place(principal, after))
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        async with self._engine.connect() as db:
            return [record_of(row) for row in (await db.execute(query)).mappings()]

    async def count(
        self, principal: Principal, *, thread_id: str | None = None, status: str | None = None
    ) -> int:
        """How many `list` would give, all pages together."""
        query = select(func.count()).select_from(runs).where(runs.c.owner == owner_seen_by(principal))
        if thread_id is not None:
            query = query.where(runs.c.thread_id == thread_id)
        if status is not None:
            query = query.where(runs.c.status == status)
        async with self._engine.connect() as db:
            return (await db.execute(query)).scalar_one()

    async def _place(self, principal: Principal, after: str) -> tuple[float, str]:
        if is_cursor(after):
            return place_of(CURSOR, after)
        last = await self.get(principal, after)
        return last.created_at, last.id

    async def of_conversation(
        self, principal: Principal, conversation: str, *, limit: int = 20
    ) -> Sequence[RunRecord]:
        """The principal's runs that were asked for with this hash, the newest first."""
        same = (runs.c.conversation == conversation) & (runs.c.owner == owner_seen_by(principal))
        query = select(runs).where(same).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        async with self._engine.connect() as db:
            return [record_of(row) for row in (await db.execute(query)).mappings()]

    async def interrupted_on(self, principal: Principal, thread_id: str) -> RunRecord | None:
        """The run of the thread that was interrupted last."""
        mine = (runs.c.owner == owner_seen_by(principal)) & (runs.c.thread_id == thread_id)
        query = select(runs).where(mine, runs.c.status == "interrupted")
        query = query.order_by(runs.c.fence.desc(), runs.c.created_at.desc()).limit(1)
        async with self._engine.connect() as db:
            row = (await db.execute(query)).mappings().first()
        return record_of(row) if row else None

    async def stops(self) -> dict[str, str]:
        """Runs of this process that somebody asked to stop: id -> how."""
        mine = (runs.c.holder == self._leases.holder) & (runs.c.status == "running")
        query = select(runs.c.id, runs.c.stop_requested).where(mine, runs.c.stop_requested.is_not(None))
        async with self._engine.connect() as db:
            return {run_id: how for run_id, how in await db.execute(query)}  # noqa: C416 - rows, not tuples

    async def waiting_threads(self, limit: int) -> Sequence[str]:
        """Threads that nobody holds and that a run waits for which may begin, the longest first."""
        query = (
            select(runs.c.thread_id)
            .join(threads, threads.c.id == runs.c.thread_id)
            .where(queued_by(now_of(self._engine), self.tags), FREE)
            .group_by(runs.c.thread_id)
            .order_by(func.min(runs.c.created_at))
            .limit(limit)
        )
        async with self._engine.connect() as db:
            return list((await db.execute(query)).scalars())

    async def waits_for_worker(self, run_id: str) -> bool:
        """Whether the run could go on, and nobody has taken it up although there was time to."""
        return bool(await self.unserved(AT_ONCE_S, run_id=run_id))

    async def unserved(
        self, seconds: float, *, run_id: str | None = None, waited_for: bool = False
    ) -> Sequence[str]:
        """Runs that could go on, and that nobody has taken up for so long; the longest first.

        Args:
            waited_for: Only those for which somebody waits on a connection.
        """
        now = now_of(self._engine)
        # Since its time came, or since its thread was last given back.
        since = (runs.c.place <= now - seconds) & (threads.c.updated_at <= now - seconds)
        query = select(runs.c.id).join(threads, threads.c.id == runs.c.thread_id)
        query = query.where(queued_by(now), FREE, is_first(), since).order_by(runs.c.place).limit(100)
        if run_id is not None:
            query = query.where(runs.c.id == run_id)
        if waited_for:
            query = query.where(runs.c.request["on_disconnect"].as_string() == "cancel")
        async with self._engine.connect() as db:
            return list((await db.execute(query)).scalars())

    async def active_of(self, run_ids: Collection[str]) -> set[str]:
        """Those of the runs that are not over."""
        query = select(runs.c.id).where(runs.c.id.in_(list(run_ids)), runs.c.status.in_(ACTIVE))
        async with self._engine.connect() as db:
            return set((await db.execute(query)).scalars())

    async def going_of(self, owner: str, *, also_queued: bool, limit: int) -> set[str]:
        """Runs of this user that go on in whatever process, as many as `limit`."""
        statuses = ACTIVE if also_queued else ("running",)
        query = select(runs.c.id).where(runs.c.owner == owner, runs.c.status.in_(statuses)).limit(limit)
        async with self._engine.connect() as db:
            return set((await db.execute(query)).scalars())

    async def read_clock(self) -> None:
        """Look at the database's clock, by which runs of other machines are judged."""
        if isinstance(self._engine, StoreEngine):
            await self._engine.read_clock()

    async def orphaned_threads(self) -> Sequence[str]:
        """Threads that are held by somebody who is gone: a run, or upkeep."""
        async with self._engine.connect() as db:
            query = select(threads, clock_in(db).label("now")).where(threads.c.run_id.is_not(None))
            if self.tags is not None:
                query = query.outerjoin(runs, runs.c.id == threads.c.run_id)
                query = query.where(func.coalesce(runs.c.tag, "").in_(self.tags))
            rows = (await db.execute(query)).mappings().all()
        return [
            str(row["id"])
            for row in rows
            # A process that was stopped for longer than a lease goes on with what it holds.
            if not self._leases.keeps(row["run_id"]) and self._leases.state_of(row) is not LeaseState.HELD
        ]


def first_waiting(thread_id: str, now: float) -> Select[Any]:
    """The run that is next of those that wait for the thread, and not for a time that has not come."""
    waiting = (runs.c.thread_id == thread_id) & (runs.c.status == "queued")
    waiting &= runs.c.place <= now + IN_LINE_S
    return select(runs.c.id).where(waiting).order_by(runs.c.place).limit(1)
