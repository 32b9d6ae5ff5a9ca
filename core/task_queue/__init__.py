"""Work for later: tasks that modules declare, a ledger of them in the database, and workers.

INDEX = Task("index_source", IndexArguments, index_source, deadline_s=3600)
record = await queue.add("index_source", IndexArguments(source="handbook"), owner=principal)
"""

from typing import TYPE_CHECKING, Any

from core.task_queue.errors import TaskArgumentsInvalid, TaskEnded, TaskNotFound, UnknownTask
from core.task_queue.record import TaskRecord, TaskStatus
from core.task_queue.settings import SECTION, TaskSettings
from core.task_queue.task import Task, TaskContext

if TYPE_CHECKING:
    from core.task_queue.queue import TaskQueue, run_worker

__all__ = [
    "SECTION",
    "Task",
    "TaskArgumentsInvalid",
    "TaskContext",
    "TaskEnded",
    "TaskNotFound",
    "TaskQueue",
    "TaskRecord",
    "TaskSettings",
    "TaskStatus",
    "UnknownTask",
    "run_worker",
]


def __getattr__(name: str) -> Any:
    """A module that only declares tasks need not wait for the import of the database's library."""
    if name in ("TaskQueue", "run_worker"):
        from core.task_queue import queue  # noqa: PLC0415 - see above

        return getattr(queue, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
