"""What can go wrong with threads and turns."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, NotFound, TimedOut, TooLarge, Unavailable, WaystationError


class ThreadNotFound(NotFound):
    """No such thread, or somebody else's."""

    code = "thread_not_found"
    title = "No such thread"

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"there is no thread '{thread_id}'")


class ThreadBusy(Conflict):
    """A run is going on the thread; send again when it has ended."""

    code = "thread_busy"
    title = "The thread has a run going"
    retryable = True


class NothingToResume(Conflict):
    """The thread does not wait for a person."""

    code = "nothing_to_resume"
    title = "Nothing to resume"


class InvalidThreadId(InvalidInput):
    """Ids are 1 to 64 of A-Z a-z 0-9 _ -."""

    code = "invalid_id"
    title = "Not a valid id"


class MessageTooLong(TooLarge):
    """The message is over the limit."""

    code = "message_too_long"
    title = "The message is too long"


class TooManyRuns(WaystationError):
    """This user has as many turns going as the limit allows."""

    code = "too_many_runs"
    title = "Too many turns at once"
    retryable = True


class Draining(Unavailable):
    """The service is about to stop and takes no new turns."""

    code = "draining"
    title = "The service is shutting down"


class StepLimit(WaystationError):
    """The model kept calling tools until the turn's limit."""

    code = "step_limit"
    title = "The turn reached its limit of steps"


class TurnTimedOut(TimedOut):
    """The turn took longer than the limit."""

    code = "turn_timed_out"
    title = "The turn took too long"


class RunCancelled(WaystationError):
    """The run was cancelled before it had an answer."""

    code = "run_cancelled"
    title = "The run was cancelled"
