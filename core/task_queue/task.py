"""A task as a module declares it, and what its function is given."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from core.access import Principal
from core.task_queue.errors import TaskArgumentsInvalid

if TYPE_CHECKING:
    from dishka import AsyncContainer

A = TypeVar("A", bound=BaseModel)

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
LONGEST_BACKOFF_S = 3600.0
_SCALARS = (int, str, bool, NoneType)

Report = Callable[[float, float | None, str], Awaitable[None]]


class NoArguments(BaseModel):
    """Arguments of a task that takes none, such as one by the clock."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a task's function gets beside its arguments.

    Args:
        container: Where it finds the services it works with.
        principal: For whom it works, with the rights that person had when it was added.
        attempt: 1 for the first.
    """

    container: AsyncContainer
    principal: Principal
    task_id: str
    attempt: int
    report: Report

    async def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far it is; the ledger shows it within seconds.

        Args:
            done: In any unit, the same as of `total`.
            message: A few words for people, never content.
        """
        await self.report(done, total, message)


@dataclass(frozen=True, slots=True)
class Task(Generic[A]):
    """A kind of work for later.

    It may run again after a crash, so `run` must be safe to repeat. An
    InvalidInput, NotFound or NotAllowed fails it at once; anything else, a
    missed deadline too, is tried again.

    Args:
        name: Fixed and unique, such as "index_source".
        arguments: A model whose fields are ids: str, int, bool or None. They
            stand in the ledger, so never content and never a secret.
        attempts: How often it is tried at most.
        backoff_s: Seconds before the second attempt; doubles with each, up to an hour.
        deadline_s: Seconds that one attempt may take.
        cron: "minute hour day month weekday" in UTC to run it by the clock, with
            no arguments; a due time that finds the one before still open is skipped.
    """

    name: str
    arguments: type[A]
    run: Callable[[A, TaskContext], Awaitable[None]]
    _: KW_ONLY
    attempts: int = 3
    backoff_s: float = 5.0
    deadline_s: float = 300.0
    cron: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"task '{self.name}': a name is a-z, 0-9 and _, at most 40 characters")
        if self.attempts < 1 or self.deadline_s <= 0 or self.backoff_s < 0:
            raise ValueError(f"task '{self.name}': attempts, deadline_s and backoff_s must make sense")
        for field, info in self.arguments.model_fields.items():
            if not _is_scalar(info.annotation):
                raise ValueError(
                    f"task '{self.name}': argument '{field}' must be str, int, bool or None; pass an id"
                )
        if self.cron:
            self._check_cron()

    def _check_cron(self) -> None:
        from cronsim import CronSimError  # noqa: PLC0415 - only where a schedule is declared

        if any(info.is_required() for info in self.arguments.model_fields.values()):
            raise ValueError(f"task '{self.name}': with cron no argument may be required")
        try:
            due_times(self.cron, 0.0)
        except CronSimError as error:
            raise ValueError(f"task '{self.name}': cron '{self.cron}': {error}") from error

    def parse(self, arguments: BaseModel | Mapping[str, Any]) -> A:
        """The arguments as the task's own model.

        Raises:
            TaskArgumentsInvalid: They are not those that the task declares.
        """
        given = arguments.model_dump() if isinstance(arguments, BaseModel) else arguments
        try:
            return self.arguments.model_validate(given)
        except ValidationError as error:
            places = (".".join(str(part) for part in e["loc"]) + ": " + e["msg"] for e in error.errors())
            raise TaskArgumentsInvalid(f"task '{self.name}': " + "; ".join(places)) from None

    def as_json(self, now: float) -> dict[str, Any]:
        """What it takes, and when it is due next.

        Args:
            now: Epoch seconds.
        """
        due = next(due_times(self.cron, now), None) if self.cron else None
        return {
            "name": self.name,
            "arguments": self.arguments.model_json_schema().get("properties", {}),
            "cron": self.cron,
            "next_at": None if due is None else datetime.fromtimestamp(due, UTC).isoformat(),
        }

    def backoff(self, attempt: int) -> float:
        """Seconds between the given attempt and the next."""
        return min(self.backoff_s * 2.0 ** (attempt - 1), LONGEST_BACKOFF_S)


def due_times(cron: str, after: float) -> Iterator[float]:
    """The times of a cron expression after `after`, both in epoch seconds."""
    from cronsim import CronSim  # noqa: PLC0415 - only where there is a schedule

    # Parsed here and not at the first `next`, so that a bad expression is an error at once.
    times = CronSim(cron, datetime.fromtimestamp(after, UTC))
    return (time.timestamp() for time in times)


def _is_scalar(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return all(_is_scalar(part) for part in get_args(annotation))
    if get_origin(annotation) is Literal:
        return all(isinstance(value, _SCALARS) for value in get_args(annotation))
    return annotation in _SCALARS
