"""What file storage does in the background."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from core.task_queue.task import Task, TaskContext
from nodes.file_storage.manager import FileManager


class NoArguments(BaseModel):
    """A task by the clock takes none."""


async def clean_files(_: NoArguments, context: TaskContext) -> None:
    """Delete files that the settings call old, and what is left of killed uploads."""
    files = await context.container.get(FileManager)

    async def swept(deleted: int) -> None:
        await context.progress(deleted, message="files deleted")

    await files.sweep(swept=swept)
    await files.reconcile()


TASKS: tuple[Task[Any], ...] = (
    Task("clean_files", NoArguments, clean_files, backoff_s=60, deadline_s=4 * 3600, cron="17 3 * * *"),
)
