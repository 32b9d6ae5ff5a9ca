"""The ledger of tasks in the database: the truth, whatever the queue and the workers believe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import RowMapping, case, delete, func, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import Principal
from core.database.engine import StoreEngine, insert_new, now_of
from core.database.outage import uninterrupted
from core.task_queue.record import OPEN, TaskRecord, TaskStatus
from core.task_queue.tables import tasks

# Plain text: drivers have ideas of their own about enumerations.
_QUEUED, _RUNNING, _CANCELLED = (
    status.value for status in (TaskStatus.QUEUED, TaskStatus.RUNNING, TaskStatus.CANCELLED)
)
_OPEN = [status.value for status in OPEN]


@dataclass(frozen=True, slots=True)
class Held:
    """A task that a holder has claimed. What it writes counts only as long as it holds the task."""

    record: TaskRecord
    holder: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many tasks are open now.

    Args:
        waiting: Due and not begun.
        later: Not due yet.
        waits_s: Seconds since the oldest waiting one became due.
    """

    waiting: int
    later: int
    running: int
    waits_s: float


class Ledger:
    """Reads and writes tasks; every change of state is one conditional statement.

    Args:
        clock: Epoch seconds; the database's by default, which all workers share.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Callable[[], float] | None = None) -> None:
        self._engine = engine
        self.now = clock or partial(now_of, engine)

    @uninterrupted
    async def add(self, record: TaskRecord) -> bool:
        """False when its id is taken, or its name has an open task with its key."""
        async with self._engine.begin() as db:
            return await insert_new(db, tasks, _row(record))

    async def get(self, task_id: str) -> TaskRecord | None:
        return await self._one(tasks.c.id == task_id)

    async def open_with_key(self, name: str, key: str) -> TaskRecord | None:
        return await self._one(tasks.c.name == name, tasks.c.key == key, tasks.c.status.in_(_OPEN))

    async def newest(
        self, *, status: TaskStatus | None = None, name: str | None = None, limit: int
    ) -> Sequence[TaskRecord]:
        """What is there, the last added first."""
        query = select(tasks).order_by(tasks.c.created_at.desc(), tasks.c.id).limit(limit)
        if status is not None:
            query = query.where(tasks.c.status == status.value)
        if name is not None:
            query = query.where(tasks.c.name == name)
        async with self._engine.connect() as db:
            return [_record(row) for row in (await db.execute(query)).mappings()]

    async def due(self, names: Collection[str], *, limit: int) -> Sequence[str]:
        """Ids of tasks that may be claimed, the longest due first."""
        query = (
            select(tasks.c.id)
            .where(
                tasks.c.status == _QUEUED,
                tasks.c.due_at <= self.now(),
                tasks.c.name.in_(names),
            )
            .order_by(tasks.c.due_at)
            .limit(limit)
        )
        async with self._engine.connect() as db:
            return list((await db.execute(query)).scalars())

    async def claim(
        self, task_id: str, holder: str, *, lease_s: float, names: Collection[str]
    ) -> Held | None:
        """Begin an attempt, if the task is due and nobody else has begun it."""
        now = self.now()
        taken = await self._change(
            update(tasks)
            .where(
                tasks.c.id == task_id,
                tasks.c.status == _QUEUED,
                tasks.c.due_at <= now,
                tasks.c.name.in_(names),
            )
            .values(
                status=_RUNNING,
                attempts=tasks.c.attempts + 1,
                holder=holder,
                lease_until=now + lease_s,
                started_at=now,
                progress=None,
                total=None,
                message="",
            )
        )
        return Held(taken, holder) if taken else None

    @uninterrupted
    async def beat(self, holder: str, ids: Collection[str], *, lease_s: float) -> Mapping[str, bool]:
        """Prolong those that the holder still has: id -> whether somebody asked to cancel it."""
        statement = (
            update(tasks)
            .where(tasks.c.id.in_(ids), tasks.c.holder == holder, tasks.c.status == _RUNNING)
            .values(lease_until=self.now() + lease_s)
            .returning(tasks.c.id, tasks.c.cancel_requested)
        )
        async with self._engine.begin() as db:
            return {row.id: bool(row.cancel_requested) for row in await db.execute(statement)}

    async def progress(self, held: Held, done: float, total: float | None, message: str) -> None:
        await self._settle(held, progress=done, total=total, message=message)

    async def finish(self, held: Held, status: TaskStatus, *, error: str = "") -> bool:
        """End it; False when the holder no longer has it."""
        return await self._settle(
            held, status=status.value, error=error, ended_at=self.now(), holder=None, lease_until=None
        )

    async def try_again(self, held: Held, *, delay_s: float, error: str) -> bool:
        """Queue its next attempt, or end it where somebody asked to cancel it."""
        return await self._requeue(held, due_at=self.now() + delay_s, error=error)

    async def give_back(self, held: Held, *, delay_s: float = 0.0, error: str = "") -> bool:
        """Queue it again as if this attempt had not been: the task is not to blame that it did not end."""
        due = {"due_at": self.now() + delay_s, "error": error} if delay_s else {}
        return await self._requeue(held, attempts=tasks.c.attempts - 1, **due)

    async def cancel(self, task_id: str) -> TaskRecord | None:
        """End a queued one; of a running one its holder will see the wish. The record after that."""
        while True:
            ended = update(tasks).where(tasks.c.id == task_id, tasks.c.status == _QUEUED)
            running = update(tasks).where(tasks.c.id == task_id, tasks.c.status == _RUNNING)
            changed = await self._change(
                ended.values(status=_CANCELLED, cancel_requested=True, ended_at=self.now())
            ) or await self._change(running.values(cancel_requested=True))
            if changed:
                return changed
            now = await self.get(task_id)
            if now is None or now.ended:
                return now

    async def abandoned(self, is_dead: Callable[[str], bool]) -> Sequence[Held]:
        """Running tasks whose lease has ended or whose holder is dead."""
        if isinstance(self._engine, StoreEngine):
            await self._engine.read_clock()
        query = select(tasks).where(tasks.c.status == _RUNNING)
        async with self._engine.connect() as db:
            rows = (await db.execute(query)).mappings().all()
        now = self.now()
        return [
            Held(_record(row), str(row["holder"]))
            for row in rows
            if float(row["lease_until"]) < now or is_dead(str(row["holder"]))
        ]

    async def backlog(self) -> Backlog:
        now = self.now()
        is_due = tasks.c.due_at <= now
        queued = tasks.c.status == _QUEUED
        query = select(
            func.count(case((queued & is_due, 1))),
            func.count(case((queued & ~is_due, 1))),
            func.count(case((tasks.c.status == _RUNNING, 1))),
            func.min(case((queued & is_due, tasks.c.due_at))),
        ).where(tasks.c.status.in_(_OPEN))
        async with self._engine.connect() as db:
            waiting, later, running, oldest = (await db.execute(query)).one()
        return Backlog(waiting, later, running, 0.0 if oldest is None else now - oldest)

    @uninterrupted
    async def prune(self, older_than: float) -> int:
        """Forget tasks that ended before `older_than` (epoch seconds); how many."""
        statement = delete(tasks).where(tasks.c.status.not_in(OPEN), tasks.c.ended_at < older_than)
        async with self._engine.begin() as db:
            return int((await db.execute(statement)).rowcount)

    async def _requeue(self, held: Held, **values: Any) -> bool:
        asked = tasks.c.cancel_requested
        return await self._settle(
            held,
            status=case((asked, _CANCELLED), else_=_QUEUED),
            ended_at=case((asked, self.now()), else_=None),
            holder=None,
            lease_until=None,
            **values,
        )

    async def _settle(self, held: Held, **values: Any) -> bool:
        statement = update(tasks).where(
            tasks.c.id == held.record.id,
            tasks.c.status == _RUNNING,
            tasks.c.holder == held.holder,
            # A process that lost a task and claimed it again holds another attempt.
            tasks.c.attempts == held.record.attempts,
        )
        return await self._change(statement.values(**values)) is not None

    @uninterrupted
    async def _change(self, statement: Any) -> TaskRecord | None:
        async with self._engine.begin() as db:
            return _first(await _mappings(db, statement.returning(*tasks.c)))

    async def _one(self, *where: Any) -> TaskRecord | None:
        async with self._engine.connect() as db:
            return _first(await _mappings(db, select(tasks).where(*where)))


async def _mappings(db: AsyncConnection, statement: Any) -> Sequence[RowMapping]:
    return (await db.execute(statement)).mappings().all()


def _first(rows: Sequence[RowMapping]) -> TaskRecord | None:
    return _record(rows[0]) if rows else None


def _row(record: TaskRecord) -> dict[str, Any]:
    fields = {c.name: getattr(record, c.name) for c in tasks.c if hasattr(record, c.name)}
    rights = {name: sorted(getattr(record.owner, name)) for name in ("groups", "levels", "scopes")}
    return {
        **fields,
        **rights,
        "arguments": dict(record.arguments),
        "owner": record.owner.id,
        "status": record.status.value,
    }


def _record(row: RowMapping) -> TaskRecord:
    fields = {name: row[name] for name in TaskRecord.__dataclass_fields__}
    owner = Principal(
        row["owner"], frozenset(row["groups"]), frozenset(row["levels"]), frozenset(row["scopes"])
    )
    return TaskRecord(**{**fields, "owner": owner, "status": TaskStatus(row["status"])})
