"""Files that end at a time of their own: a tag says when, and a task of that time deletes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.access import Principal
from core.task_queue import TaskQueue
from nodes.file_storage.manager import FileManager
from nodes.file_storage.models import EXPIRES, FileInfo
from nodes.file_storage.tasks import EXPIRE_FILE, ExpiringFile


async def expire_after(
    files: FileManager, queue: TaskQueue, principal: Principal, info: FileInfo, seconds: int
) -> FileInfo:
    """Have the file deleted so many seconds after it was stored, unless its tag has gone until then.

    The task comes first: a file that says when it ends is one that does.
    """
    at = info.created + timedelta(seconds=seconds)
    await queue.add(
        EXPIRE_FILE,
        ExpiringFile(key=info.key),
        owner=principal,
        key=info.key,
        delay_s=(at - datetime.now(UTC)).total_seconds(),
    )
    return await files.tag(principal, info.key, {EXPIRES: at.isoformat(timespec="seconds")})
