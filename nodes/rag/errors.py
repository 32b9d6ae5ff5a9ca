"""What can go wrong while searching and indexing, each with its code."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, TimedOut, Unavailable


class SourceNotFound(NotFound):
    """No such source, or none that the caller may use."""

    code = "source_not_found"
    title = "There is no such source"


class SourceUnavailable(Unavailable):
    """A source does not answer, or answers what cannot be read."""

    code = "source_unavailable"
    title = "A source does not answer"


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


class IndexBroken(Unavailable):
    """The index on disk cannot be read."""

    code = "index_broken"
    title = "The index cannot be read"
    retryable = False
