"""A worker in a process of its own: `python -m tests.kit.task_worker DATABASE NOTES SETTINGS`.

It knows the task `note`, which writes a line `begin ITEM PID ATTEMPT` to the file
NOTES, waits until a file `go` stands beside it, and writes `end ITEM PID ATTEMPT`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from dishka import make_async_container
from pydantic import BaseModel
from sqlalchemy.engine import make_url

from core.database.engine import create_engine
from core.task_queue import Task, TaskContext, TaskQueue, TaskSettings, run_worker


class Item(BaseModel):
    item: str


def note_task(notes: Path | None = None) -> Task[Item]:
    """The task; a process that only adds it needs no file."""

    async def note(arguments: Item, context: TaskContext) -> None:
        assert notes is not None
        who = f"{arguments.item} {os.getpid()} {context.attempt}\n"
        _write(notes, f"begin {who}")
        while not (notes.parent / "go").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
        _write(notes, f"end {who}")

    return Task("note", Item, note, attempts=3, backoff_s=0.0)


def _write(notes: Path, line: str) -> None:
    # One write to a file opened for appending: lines of several processes do not mix.
    with notes.open("a") as file:
        file.write(line)


async def main(database: str, notes: str, settings: str) -> None:
    # The test has brought the database to its revision.
    engine = create_engine(make_url(database))
    given = TaskSettings.model_validate_json(settings)
    tasks = [note_task(Path(notes))]
    await run_worker(lambda: TaskQueue.open(given, engine, tasks, make_async_container(), worker=True))
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
