"""Runs that callers have planned by the clock: kept in the database, begun by a task each minute.

Those of the settings (see `schedules`) belong to whoever runs the service; these belong to their callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from cronsim import CronSim, CronSimError
from sqlalchemy import ColumnElement, RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal, owner_seen_by
from core.database.engine import now_of
from core.database.outage import uninterrupted
from core.errors import InvalidInput, NotFound, WaystationError
from core.task_queue import Task, TaskContext
from core.task_queue.task import NoArguments
from graph.db.tables import plans
from graph.flow.state import time_of
from graph.runs.lease import new_id
from graph.runs.record import TurnRequest
from graph.service.reception import Reception

log = structlog.get_logger(__name__)

MOST_PLANS = 100
AT_ONCE = 100
_FIELDS = 5


class PlanNotFound(NotFound):
    """There is no such planned run, or it is somebody else's."""

    code = "plan_not_found"
    title = "There is no such planned run"


@dataclass(frozen=True, slots=True)
class Clock:
    """When a plan is due.

    Args:
        schedule: "minute hour day month weekday", in the time zone.
        timezone: An IANA name; None is UTC.
        end_at: Epoch seconds behind which it is due no more.
    """

    schedule: str
    timezone: str | None = None
    end_at: float | None = None

    def after(self, now: float) -> float | None:
        """The next time, in epoch seconds; None where there is none.

        Raises:
            InvalidInput: The schedule or the time zone is none.
        """
        zone = _zone(self.timezone)
        if len(self.schedule.split()) != _FIELDS:
            raise InvalidInput(
                f"'{self.schedule[:80]}' is no schedule: it has {_FIELDS} fields, as in '0 7 * * 1-5'"
            )
        try:
            found = next(CronSim(self.schedule, datetime.fromtimestamp(now, zone)), None)
        except CronSimError as error:
            raise InvalidInput(
                f"'{self.schedule[:80]}' is no schedule ({error}); such as '0 7 * * 1-5'"
            ) from None
        due = found.timestamp() if found else None
        return None if due is None or (self.end_at is not None and due > self.end_at) else due


def _zone(name: str | None) -> tzinfo:
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    # A name that is a folder of the zones' files, say.
    except (ValueError, LookupError, OSError):
        raise InvalidInput(f"no time zone '{name[:80]}'; use a name such as Europe/Berlin") from None


class Plans:
    """Callers' plans in the database at `engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @uninterrupted
    async def create(
        self,
        request: TurnRequest,
        *,
        schedule: str,
        timezone: str | None = None,
        end_at: float | None = None,
        enabled: bool = True,
        payload: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Plan the run that the request asks for, each time on a new thread where it names none.

        Args:
            schedule, timezone, end_at: As in `Clock`.
            payload: What the caller sent, to be shown again.
            metadata: What the caller notes about it.

        Raises:
            InvalidInput: It would never be due, or there are too many.
        """
        now, who = now_of(self._engine), request.principal
        clock = Clock(schedule, timezone, end_at)
        due = _due(clock, now)
        row = {
            "id": new_id("p"),
            "owner": who.id,
            **{name: sorted(getattr(who, name)) for name in ("groups", "levels", "scopes")},
            "thread_id": request.thread_id,
            "request": request.as_json(),
            "webhook": request.webhook,
            "schedule": clock.schedule,
            "timezone": clock.timezone,
            "end_at": clock.end_at,
            "enabled": enabled,
            "payload": dict(payload),
            "metadata": dict(metadata),
            "next_at": due,
            "created_at": now,
            "updated_at": now,
        }
        count = select(func.count()).select_from(plans).where(plans.c.owner == who.id)
        async with self._engine.begin() as db:
            await db.execute(insert(plans).values(**row))
            if (await db.execute(count)).scalar_one() > MOST_PLANS:
                raise InvalidInput(f"you would have more than {MOST_PLANS} planned runs; delete some")
        return await self.get(who, str(row["id"]))

    async def get(self, principal: Principal, plan_id: str) -> dict[str, Any]:
        """The plan. Raises PlanNotFound."""
        return _view(await self._row(principal, plan_id))

    async def list(
        self,
        principal: Principal,
        *,
        thread_id: str | None = None,
        enabled: bool | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """The principal's plans, the newest first."""
        query = select(plans).where(*_wanted(principal, thread_id, enabled))
        query = query.order_by(plans.c.created_at.desc(), plans.c.id).limit(limit).offset(offset)
        async with self._engine.connect() as db:
            return [_view(row) for row in (await db.execute(query)).mappings()]

    @uninterrupted
    async def change(
        self,
        principal: Principal,
        plan_id: str,
        *,
        schedule: str,
        timezone: str | None,
        end_at: float | None,
        request: TurnRequest | None = None,
        **values: Any,
    ) -> dict[str, Any]:
        """Change the plan: when it is due, what it asks for, or other columns.

        Raises:
            PlanNotFound: There is none.
            InvalidInput: It would never be due.
        """
        row = await self._row(principal, plan_id)
        now = now_of(self._engine)
        due = _due(Clock(schedule, timezone, end_at), now)
        found: dict[str, Any] = {"schedule": schedule, "timezone": timezone, "end_at": end_at}
        found |= {**values, "next_at": due, "updated_at": now}
        if request is not None:
            found |= {"request": request.as_json(), "webhook": request.webhook}
        async with self._engine.begin() as db:
            await db.execute(update(plans).where(plans.c.id == row["id"]).values(**found))
        return await self.get(principal, plan_id)

    @uninterrupted
    async def delete(self, principal: Principal, plan_id: str) -> None:
        """Take the plan away; runs that it began go on. Raises PlanNotFound."""
        await self._row(principal, plan_id)
        async with self._engine.begin() as db:
            await db.execute(delete(plans).where(plans.c.id == plan_id))

    async def begin_due(self, reception: Reception) -> int:
        """Begin what is due; how many runs. A second process, or attempt, finds the run of the first."""
        now = now_of(self._engine)
        due = select(plans).where(plans.c.enabled, plans.c.next_at <= now).order_by(plans.c.next_at)
        async with self._engine.connect() as db:
            rows = (await db.execute(due.limit(AT_ONCE))).mappings().all()
        for row in rows:
            try:
                await reception.begin(_request(row))
            except WaystationError as error:
                if error.retryable:
                    continue
                log.warning("planned_run_not_begun", plan_id=row["id"], code=error.code)
            await self._advance(row, now)
        return len(rows)

    @uninterrupted
    async def _advance(self, row: RowMapping, now: float) -> None:
        following = _clock(row).after(now)
        same = (plans.c.id == row["id"]) & (plans.c.next_at == row["next_at"])
        over: dict[str, Any] = {} if following else {"enabled": False}
        async with self._engine.begin() as db:
            await db.execute(update(plans).where(same).values(next_at=following, **over))

    async def _row(self, principal: Principal, plan_id: str) -> RowMapping:
        mine = (plans.c.id == plan_id) & (plans.c.owner == owner_seen_by(principal))
        async with self._engine.connect() as db:
            row = (await db.execute(select(plans).where(mine))).mappings().first()
        if row is None:
            raise PlanNotFound(f"no planned run '{plan_id[:80]}'")
        return row


def _wanted(principal: Principal, thread_id: str | None, enabled: bool | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [plans.c.owner == owner_seen_by(principal)]
    if thread_id is not None:
        found.append(plans.c.thread_id == thread_id)
    if enabled is not None:
        found.append(plans.c.enabled.is_(enabled))
    return found


def _due(clock: Clock, now: float) -> float:
    due = clock.after(now)
    if due is None:
        raise InvalidInput(f"'{clock.schedule[:80]}' is never due again; look at schedule and end_time")
    return due


def _clock(row: RowMapping) -> Clock:
    return Clock(row["schedule"], row["timezone"], row["end_at"])


def _request(row: RowMapping) -> TurnRequest:
    rights = (frozenset(row[name]) for name in ("groups", "levels", "scopes"))
    request = TurnRequest.of(Principal(row["owner"], *rights), row["request"])
    key = f"plan:{row['id']}:{row['next_at']:.0f}"
    return replace(request, idempotency_key=key, webhook=row["webhook"], background=True)


def _view(row: RowMapping) -> dict[str, Any]:
    names = ("id", "thread_id", "schedule", "timezone", "enabled", "payload", "metadata")
    times = {name: None if row[name] is None else time_of(row[name]) for name in _TIMES}
    return {**{name: row[name] for name in names}, **times}


_TIMES = ("end_at", "next_at", "created_at", "updated_at")


async def begin_planned(_: NoArguments, context: TaskContext) -> None:
    """Begin the planned runs that are due."""
    found = await context.container.get(Plans)
    begun = await found.begin_due(await context.container.get(Reception))
    if begun:
        await context.progress(begun, message="planned runs begun")


TASKS: tuple[Task[Any], ...] = (
    Task("begin_planned", NoArguments, begin_planned, deadline_s=300, cron="* * * * *"),
)
