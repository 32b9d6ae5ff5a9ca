"""Tasks by the clock: which of them became due since the last look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.task_queue.task import Task


def due_times(cron: str, after: float) -> Iterator[float]:
    """The times of a cron expression after `after`, both in epoch seconds."""
    from cronsim import CronSim  # noqa: PLC0415 - only where there is a schedule

    # Parsed here and not at the first `next`, so that a bad expression is an error at once.
    times = CronSim(cron, datetime.fromtimestamp(after, UTC))
    return (time.timestamp() for time in times)


def scheduled_id(name: str, due: float) -> str:
    """The id of the task of one due time: the same in every process, so that there is only one."""
    return f"{name}-{datetime.fromtimestamp(due, UTC):%Y%m%dT%H%M%S}"


class Schedule:
    """The due times of all tasks with a `cron`.

    A time that passes while no worker is there is not made up for.

    Args:
        now: Epoch seconds; only later times count.
    """

    def __init__(self, tasks: Iterable[Task[Any]], now: float) -> None:
        self._times = {task.name: due_times(task.cron, now) for task in tasks if task.cron}
        self._next = {name: next(times, None) for name, times in self._times.items()}

    def due(self, now: float) -> list[tuple[str, float]]:
        """(task name, due time) of each that became due; of several times of one task only the last."""
        found: list[tuple[str, float]] = []
        for name, times in self._times.items():
            passed = None
            while (following := self._next[name]) is not None and following <= now:
                passed = following
                self._next[name] = next(times, None)
            if passed is not None:
                found.append((name, passed))
        return found
