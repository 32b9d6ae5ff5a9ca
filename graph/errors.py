"""What can go wrong with threads and turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
    WaystationError,
    known_errors,
)


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


class ThreadWaiting(Conflict):
    """The thread waits for a person's answer; a new message has to say that it takes its place."""

    code = "thread_waiting"
    title = "The thread waits for a person"


class QueueFull(WaystationError):
    """As many runs wait for the thread as the limit allows."""

    code = "queue_full"
    title = "Too many runs wait for the thread"
    retryable = True


class LeaseLost(Conflict):
    """Another process has taken the thread over; nothing more is written here."""

    code = "lease_lost"
    title = "Another process has taken the thread over"
    retryable = True


class RunNotFound(NotFound):
    """No such run, or somebody else's."""

    code = "run_not_found"
    title = "No such run"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run '{run_id}'")


class RunEnded(Conflict):
    """The run has ended; there is nothing to cancel."""

    code = "run_ended"
    title = "The run has ended"


class RunAbandoned(WaystationError):
    """The run's process died at each attempt; it is not tried again."""

    code = "run_abandoned"
    title = "The run was given up"


class KeyReused(InvalidInput):
    """The Idempotency-Key was sent before, with another request."""

    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"


class AlreadyAnswered(Conflict):
    """The question has had its answer: each is taken once."""

    code = "already_answered"
    title = "That question has been answered"


class NothingToResume(Conflict):
    """Nothing waits for an answer, and nothing was stopped that could go on."""

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


class ThreadTotalReached(WaystationError):
    """This user has as many threads as the limit allows."""

    code = "thread_total_reached"
    title = "Too many threads"


class TooManyRuns(WaystationError):
    """This user has as many turns going as the limit allows."""

    code = "too_many_runs"
    title = "Too many turns at once"
    retryable = True


class Draining(Unavailable):
    """The service is about to stop and takes no new turns."""

    code = "draining"
    title = "The service is shutting down"


class NoWorker(Unavailable):
    """No process that executes runs has taken the run up in time."""

    code = "no_worker"
    title = "No worker took the run up"


class StepInvalid(WaystationError):
    """A further step returned what no state can take: its author has to mend it."""

    code = "step_invalid"
    title = "A step of this service returned what cannot be stored"


class StepLimit(WaystationError):
    """The model kept calling tools until the turn's limit."""

    code = "step_limit"
    title = "The turn reached its limit of steps"


class TurnTimedOut(TimedOut):
    """The turn took longer than the limit."""

    code = "turn_timed_out"
    title = "The turn took too long"


def error_from(problem: Mapping[str, Any]) -> WaystationError:
    """An error as it was stored with a run: of the class that has its code."""
    kind = known_errors().get(str(problem.get("code")), WaystationError)
    error = kind.__new__(kind)
    # Past constructors of their own, which build the sentence that is here already.
    WaystationError.__init__(error, str(problem.get("detail", "")))
    return error


def problem_of(error: WaystationError) -> dict[str, Any]:
    """An error as its event and its run's row carry it."""
    return {"code": error.code, "title": error.title, "detail": error.detail, "retryable": error.retryable}
