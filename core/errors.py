"""The error tree: every failure that may reach a user has a stable code.

WaystationError
├── InvalidInput            the caller sent something that cannot be accepted
│   ├── ConfigInvalid       a settings file or variable does not validate
│   └── TooLarge            a documented limit was passed
├── NotFound                it does not exist, or the caller may not know that it does
├── NotAllowed              the caller is known and may not do this
├── Conflict                the object is busy or already in another state
├── Unavailable             a dependency does not answer; trying later may help
│   ├── StorageUnavailable  the database, the disk or the bucket is away, full or read-only
│   └── TimedOut            a dependency did not answer in time
└── Internal                our own fault; the details stay in the log
"""

from __future__ import annotations

from typing import ClassVar


class WaystationError(RuntimeError):
    """Base of every error that carries a code for users.

    A RuntimeError, since LangGraph's development server, and with it Studio, shows the
    text of Python's own kinds of errors only and hides that of any other.

    Args:
        detail: One or two sentences for the person who has to act. It names
            the value and the remedy, and never a secret, a path of the
            service or a stack.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    retryable: ClassVar[bool] = False
    # Whether a circuit breaker holds it against the dependency; see core.resilience. One error may say
    # otherwise than its kind, where another has told of the same fault.
    counts_as_failure: bool = False

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class InvalidInput(WaystationError):
    """The caller sent something that cannot be accepted."""

    code = "invalid_input"
    title = "The request cannot be accepted"


class ConfigInvalid(InvalidInput):
    """A settings file or an environment variable does not validate."""

    code = "config_invalid"
    title = "The configuration is not valid"


class TooLarge(InvalidInput):
    """A documented size limit was passed."""

    code = "too_large"
    title = "Over a size limit"


class NotFound(WaystationError):
    """No such object, or none that the caller may know of."""

    code = "not_found"
    title = "Not found"


class NotAllowed(WaystationError):
    """The caller is known and may not do this."""

    code = "not_allowed"
    title = "Not allowed"


class Conflict(WaystationError):
    """The object is busy or in a state that forbids this."""

    code = "conflict"
    title = "Conflict"


class Unavailable(WaystationError):
    """A dependency does not answer; trying again later may help."""

    code = "unavailable"
    title = "A dependency is unavailable"
    retryable = True
    counts_as_failure = True


class StorageUnavailable(Unavailable):
    """The database, the disk or the bucket cannot be used now; what was acknowledged before is kept.

    Args:
        retry_after: Seconds after which it makes sense to ask again, where that is known.
    """

    code = "storage_unavailable"
    title = "Storage is unavailable"

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TimedOut(Unavailable):
    """A dependency did not answer in time."""

    code = "timed_out"
    title = "A dependency did not answer in time"


class Internal(WaystationError):
    """A fault of ours. The log has the details, the caller gets none."""

    code = "internal"
    title = "Internal error"


def known_errors() -> dict[str, type[WaystationError]]:
    """Every error class that is loaded, by its code (for the status table and the reference)."""
    found: dict[str, type[WaystationError]] = {}
    queue: list[type[WaystationError]] = [WaystationError]
    while queue:
        cls = queue.pop()
        found.setdefault(cls.code, cls)
        queue.extend(cls.__subclasses__())
    return dict(sorted(found.items()))
