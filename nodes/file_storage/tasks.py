"""What file storage does in the background."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from core.task_queue.task import NoArguments, Task, TaskContext

EXPIRE_FILE = "expire_file"


class ExpiringFile(BaseModel):
    """The key of a file of the task's principal."""

    key: str


async def clean_files(_: NoArguments, context: TaskContext) -> None:
    """Delete files that the settings call old, and what is left of killed uploads."""
    from nodes.file_storage.manager import FileManager  # noqa: PLC0415 - every command loads the declaration

    files = await context.container.get(FileManager)

    async def swept(deleted: int) -> None:
        await context.progress(deleted, message="files deleted")

    await files.sweep(swept=swept)
    await files.reconcile()


async def expire_file(given: ExpiringFile, context: TaskContext) -> None:
    """Delete a file whose time is over; one whose tag has another time is looked at again then."""
    from core.task_queue import TaskQueue  # noqa: PLC0415 - as above
    from nodes.file_storage.errors import FileNotFound  # noqa: PLC0415
    from nodes.file_storage.manager import FileManager  # noqa: PLC0415

    files = await context.container.get(FileManager)
    try:
        at = (await files.info(context.principal, given.key)).expires
        if at is None:
            return
        left = (at - datetime.now(UTC)).total_seconds()
        if left <= 0:
            await files.delete(context.principal, given.key)
            return
    except FileNotFound:
        return
    # Without a key: this task is open under it.
    queue = await context.container.get(TaskQueue)
    await queue.add(EXPIRE_FILE, given, owner=context.principal, delay_s=left)


TASKS: tuple[Task[Any], ...] = (
    Task("clean_files", NoArguments, clean_files, backoff_s=60, deadline_s=4 * 3600, cron="17 3 * * *"),
    # An outage of the store is outlived: half a day of attempts.
    Task(EXPIRE_FILE, ExpiringFile, expire_file, attempts=20, backoff_s=60, deadline_s=300),
)
