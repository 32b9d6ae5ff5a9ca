"""Runs that begin by the clock: each scheduled run of the settings is a task of the queue."""

from __future__ import annotations

from typing import Any

from core.access import Principal
from core.choices import Choices
from core.settings.schedules import ScheduledRun, ScheduleSettings
from core.task_queue import Task, TaskContext
from core.task_queue.task import NoArguments
from graph.errors import ThreadBusy, ThreadWaiting
from graph.runs.record import TurnRequest
from graph.service.reception import Reception


def scheduled_tasks(settings: ScheduleSettings) -> list[Task[Any]]:
    """A task for each scheduled run that is enabled."""
    return [_task(run) for run in settings.runs if run.enabled]


def _task(scheduled: ScheduledRun) -> Task[NoArguments]:
    async def begin(_: NoArguments, context: TaskContext) -> None:
        reception = await context.container.get(Reception)
        try:
            # The task's id is the key: a second attempt finds the run of the first.
            await reception.begin(request_of(scheduled, key=f"schedule:{context.task_id}"))
        except (ThreadBusy, ThreadWaiting):
            if scheduled.on_busy == "enqueue":
                raise
            await context.progress(0, message="left out: the thread has a run going")

    return Task(f"run_{scheduled.name}", NoArguments, begin, attempts=3, deadline_s=60, cron=scheduled.cron)


def request_of(scheduled: ScheduledRun, *, key: str) -> TurnRequest:
    """The request that the schedule makes when its time comes."""
    who = Principal(
        scheduled.user, frozenset(scheduled.groups), frozenset(scheduled.levels), frozenset({"use"})
    )
    return TurnRequest(
        who,
        scheduled.message,
        thread_id=scheduled.thread or None,
        choices=Choices.of(dict(scheduled)),
        on_disconnect="continue",
        on_busy=scheduled.on_busy,
        idempotency_key=key,
        webhook=scheduled.webhook,
        background=True,
    )
