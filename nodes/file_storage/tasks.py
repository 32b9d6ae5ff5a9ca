"""What file storage does in the background."""

from __future__ import annotations

from typing import Any

from core.task_queue.task import NoArguments, Task, TaskContext


async def clean_files(_: NoArguments, context: TaskContext) -> None:
    """Delete files that the settings call old, and what is left of killed uploads."""
    from nodes.file_storage.manager import FileManager  # noqa: PLC0415 - every command loads the declaration

    files = await context.container.get(FileManager)

    async def swept(deleted: int) -> None:
        await context.progress(deleted, message="files deleted")

    await files.sweep(swept=swept)
    await files.reconcile()


TASKS: tuple[Task[Any], ...] = (
    Task("clean_files", NoArguments, clean_files, backoff_s=60, deadline_s=4 * 3600, cron="17 3 * * *"),
)
