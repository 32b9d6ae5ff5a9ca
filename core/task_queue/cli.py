"""`waystation tasks ...`: what was asked of the queue, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli import JsonFlag, command, make_app, show
from core.errors import InvalidInput
from core.task_queue.record import TaskRecord, TaskStatus

if TYPE_CHECKING:
    from core.task_queue.queue import TaskQueue

Opened = Callable[[], AbstractAsyncContextManager["TaskQueue"]]

_COLUMNS = ("id", "name", "status", "attempts", "progress", "due", "took", "error")


def make_tasks_app(opened: Opened) -> typer.Typer:
    """The commands on a queue.

    Args:
        opened: Opens the queue of this service, with `worker=False`.
    """
    app = make_app("tasks", "Background tasks: list, show, cancel, run.")
    for name, made in (("list", _list), ("show", _show), ("cancel", _cancel), ("run", _run)):
        app.command(name)(made(opened))
    return app


def _list(opened: Opened) -> Callable[..., None]:
    @command
    async def list_command(
        *,
        status: Annotated[TaskStatus | None, typer.Option(help="Only tasks in this state.")] = None,
        name: Annotated[str | None, typer.Option(help="Only tasks of this name.")] = None,
        limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
        as_json: JsonFlag = False,
    ) -> None:
        """Tasks, the last added first."""
        async with opened() as queue:
            found = await queue.list(status=status, name=name, limit=limit)
        rows = [_cells(record) for record in found]
        value = [record.as_json() for record in found]
        show(value, as_json=as_json, table=_COLUMNS, rows=rows, empty="no tasks")

    return list_command


def _show(opened: Opened) -> Callable[..., None]:
    @command
    async def show_command(task_id: str, *, as_json: JsonFlag = False) -> None:
        """One task with all that is known of it."""
        async with opened() as queue:
            record = await queue.get(task_id)
        _print(record, as_json=as_json)

    return show_command


def _cancel(opened: Opened) -> Callable[..., None]:
    @command
    async def cancel_command(task_id: str, *, as_json: JsonFlag = False) -> None:
        """End a queued task; ask the worker of a running one to stop it."""
        async with opened() as queue:
            record = await queue.cancel(task_id)
        text = "cancelled" if record.ended else "its worker stops it within seconds"
        show(record.as_json(), as_json=as_json, text=text)

    return cancel_command


def _run(opened: Opened) -> Callable[..., None]:
    @command
    async def run_command(
        name: str,
        arguments: Annotated[str, typer.Argument(help="A JSON object.")] = "{}",
        *,
        key: Annotated[str | None, typer.Option(help="Of two open tasks with one key there is one.")] = None,
        wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for its end.")] = 0,
        as_json: JsonFlag = False,
    ) -> None:
        """Add a task; a service or worker that runs takes it within seconds."""
        async with opened() as queue:
            record = await queue.add(name, _object(arguments), key=key, owner=queue.system)
            if wait:
                record = await queue.wait(record.id, wait)
        _print(record, as_json=as_json)
        if wait and record.status is not TaskStatus.DONE:
            raise typer.Exit(1)

    return run_command


def _object(text: str) -> Mapping[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"the arguments are not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidInput('the arguments are not a JSON object such as {"source": "handbook"}')
    return given


def _print(record: TaskRecord, *, as_json: bool) -> None:
    found = record.as_json()
    shown = {name: value for name, value in found.items() if value not in (None, "")}
    lines = {**shown, "arguments": json.dumps(shown["arguments"])}
    show(found if as_json else lines, as_json=as_json)


def _cells(record: TaskRecord) -> list[object]:
    took = None
    if record.started_at is not None and record.ended_at is not None:
        took = f"{record.ended_at - record.started_at:.1f} s"
    due = datetime.fromtimestamp(record.due_at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return [
        record.id,
        record.name,
        record.status.value,
        record.attempts,
        _progress(record),
        due,
        took,
        record.error,
    ]


def _progress(record: TaskRecord) -> str:
    if record.progress is None:
        return record.message
    of = f"/{record.total:g}" if record.total is not None else ""
    return f"{record.progress:g}{of} {record.message}".rstrip()
