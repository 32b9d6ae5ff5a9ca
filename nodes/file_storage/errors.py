"""What can go wrong with files."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, TimedOut, TooLarge
from core.errors import StorageUnavailable as StorageUnavailable  # noqa: PLC0414 - named here beside the others


class FileNotFound(NotFound):
    """No file under this key, or one of somebody else."""

    code = "file_not_found"
    title = "No such file"


class FileTooLarge(TooLarge):
    """The file is larger than file_storage.max_bytes."""

    code = "file_too_large"
    title = "The file is too large"


class StorageFull(TooLarge):
    """The user has as many files, or as many bytes in them, as the settings allow."""

    code = "file_total_reached"
    title = "No room for more files"


class InvalidFile(InvalidInput):
    """A key, tag or source file that cannot be accepted."""

    code = "invalid_file"
    title = "The file cannot be accepted"


class LinkInvalid(NotAllowed):
    """The download link was not made by this service, or was changed."""

    code = "link_invalid"
    title = "The link is not valid"


class LinkExpired(LinkInvalid):
    """The download link was valid once."""

    code = "link_expired"
    title = "The link has expired"


class StorageRefused(StorageUnavailable):
    """The bucket answers, and says no: it is not there, or our credentials do not open it."""

    code = "storage_refused"
    title = "File storage refuses us"
    retryable = False
    counts_as_failure = False


class StorageBusy(StorageUnavailable):
    """The bucket limits how often we may ask; `retry_after` is in seconds, where it says when."""

    code = "storage_busy"
    title = "File storage has too much to do"
    counts_as_failure = False


class StorageTimedOut(TimedOut):
    """The bucket did not answer in time."""

    code = "storage_timed_out"
    title = "File storage did not answer in time"


class NoDirectUploads(Conflict):
    """Files are kept where clients cannot store any themselves."""

    code = "no_direct_uploads"
    title = "Uploads go through the service"
