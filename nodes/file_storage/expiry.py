"""Files that end at a time of their own: a tag says when, and a task of that time deletes."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from core.access import Principal
from core.errors import WaystationError
from core.task_queue import TaskQueue
from nodes.file_storage.manager import FileManager
from nodes.file_storage.models import FileInfo
from nodes.file_storage.tasks import EXPIRE_FILE, ExpiringFile


async def expire_after(
    files: FileManager, queue: TaskQueue, principal: Principal, info: FileInfo, seconds: int
) -> FileInfo:
    """Have the file deleted so many seconds after it was stored, unless its tag has gone until then.

    The task comes first: a file that says when it ends is one that does.
    """
    at = info.created + timedelta(seconds=seconds)
    try:
        await queue.add(
            EXPIRE_FILE,
            ExpiringFile(key=info.key),
            owner=principal,
            key=info.key,
            delay_s=(at - datetime.now(UTC)).total_seconds(),
        )
        return await files.tag(principal, info.key, {}, end=at.isoformat(timespec="seconds"))
    except WaystationError:
        # Whoever sent it is told that it failed, and sends it again: this one would stay for ever.
        with suppress(WaystationError):
            await files.delete(principal, info.key)
        raise
