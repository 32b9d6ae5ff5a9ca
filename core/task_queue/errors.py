"""What the task queue refuses."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, NotFound


class UnknownTask(InvalidInput):
    """No module declares a task of this name."""

    code = "unknown_task"
    title = "There is no task of this name"


class TaskArgumentsInvalid(InvalidInput):
    """The arguments are not those that the task declares."""

    code = "task_arguments_invalid"
    title = "The task does not take these arguments"


class TaskNotFound(NotFound):
    """The ledger has no task with this id."""

    code = "task_not_found"
    title = "No such task"


class TaskEnded(Conflict):
    """The task is over; there is nothing to cancel."""

    code = "task_ended"
    title = "The task has ended"
