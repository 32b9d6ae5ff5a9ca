"""What can go wrong while searching and indexing, each with its code."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, TimedOut, Unavailable, WaystationError


class SourceNotFound(NotFound):
    """No such source, or none that the caller may use."""

    code = "source_not_found"
    title = "There is no such source"


class SourceUnavailable(Unavailable):
    """A source does not answer, or answers what cannot be read.

    Args:
        retry_after: Seconds after which it wants to be asked again, where it said so.
    """

    code = "source_unavailable"
    title = "A source does not answer"

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class VectorsDiffer(SourceUnavailable):
    """The endpoint makes other vectors under the same name than those that the index has.

    Args:
        there, given: How many numbers a vector of the index has, and one of the endpoint.
    """

    code = "vectors_differ"
    title = "The endpoint makes other vectors than the index has"
    # The endpoint answers, and will answer so again.
    counts_as_failure = False
    retryable = False

    def __init__(self, there: int, given: int) -> None:
        super().__init__(
            f"its vectors have {there} numbers and the endpoint's {given}, so the model has changed under "
            "its name; make the index anew with `waystation rag rebuild`"
        )


class SourceBusy(SourceUnavailable):
    """A source limits how often we may ask."""

    code = "source_busy"
    title = "A source limits our requests"
    # It lives and says so: no reason to leave it alone for longer than it asks.
    counts_as_failure = False


class SourceRejected(WaystationError):
    """A source answers, and does not take the request; asking again does not help.

    Args:
        status: Of its HTTP answer; 0 where there is none.
    """

    code = "source_rejected"
    title = "A source did not accept the request"

    def __init__(self, detail: str = "", *, status: int = 0) -> None:
        super().__init__(detail)
        self.status = status


class SourceTimedOut(TimedOut):
    """A source did not answer within its time."""

    code = "source_timed_out"
    title = "A source did not answer in time"


class SourceRefused(NotAllowed):
    """The source knows us and refuses this user or this token."""

    code = "source_refused"
    title = "A source refused the request"


class NotIngestable(InvalidInput):
    """Only local sources have an index of ours, and only text that exists goes into it."""

    code = "not_ingestable"
    title = "This cannot be indexed"


class IndexBusy(Conflict):
    """Another process is indexing the same source."""

    code = "index_busy"
    title = "The index is being written"


class IndexWrittenElsewhere(Conflict):
    """The index in the bucket is written by another home; here it is read."""

    code = "index_written_elsewhere"
    title = "The index is written elsewhere"


class IndexBroken(Unavailable):
    """The index on disk cannot be read."""

    code = "index_broken"
    title = "The index cannot be read"
    retryable = False


class QuestionsInvalid(InvalidInput):
    """A file of questions cannot be read, a question in it is not complete, or none is left to ask."""

    code = "questions_invalid"
    title = "The questions cannot be asked"


class BelowFloor(Conflict):
    """Retrieval finds less than it was told to find at least."""

    code = "below_floor"
    title = "Retrieval is below its floor"


class QueryNotAccepted(InvalidInput):
    """A question that this service is asked as a source is empty, or wants what is not offered."""

    code = "query_not_accepted"
    title = "The question is not accepted"


class SourceLoop(WaystationError):
    """A question has come through too many services: some of them are sources of each other."""

    code = "source_loop"
    title = "Services ask each other in a circle"
