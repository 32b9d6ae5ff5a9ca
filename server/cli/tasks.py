"""`waystation tasks` and `waystation worker`: background work, seen and done outside of the service."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import typer

from core.task_queue import TaskQueue
from core.task_queue.cli import make_tasks_app


@asynccontextmanager
async def _queue() -> AsyncIterator[TaskQueue]:
    """The queue of this configuration, without the services that its tasks work with."""
    from core.settings import Context
    from graph.wiring.background import opened_queue

    async with opened_queue(Context.current()) as queue:
        yield queue


@asynccontextmanager
async def _working_queue() -> AsyncIterator[TaskQueue]:
    """The queue in a process that runs tasks, with everything that they need."""
    from core.collecting import settle
    from core.settings import Context
    from graph.wiring.services import open_services

    # Whatever the service's own processes do: this one runs tasks.
    context = Context.current(tasks={"worker": True}, server={"role": "all"})
    async with open_services(context, worker=True) as services:
        settle()
        yield await services.container.get(TaskQueue)


async def work() -> None:
    """Run background tasks until SIGTERM or Ctrl-C, and nothing else."""
    from core.observability import configure_logging
    from core.settings import Context
    from core.settings.platform import TelemetrySettings
    from core.task_queue import run_worker
    from server.serve import read_settings

    settings = read_settings(Context.current())[TelemetrySettings]
    configure_logging(level=settings.log_level, as_json=settings.log_format == "json")
    await run_worker(_working_queue)


tasks: typer.Typer = make_tasks_app(_queue)
