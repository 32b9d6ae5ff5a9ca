"""What a policy itself refuses.

BreakerOpen     the target failed too often and is left alone for a while
TooBusy         as many callers as may wait already do
PolicyTimeout   the target did not answer in time
"""

from __future__ import annotations

from core.errors import TimedOut, Unavailable


class BreakerOpen(Unavailable):
    """The target failed too often; `retry_after` seconds from now it is tried again."""

    code = "circuit_open"
    title = "A dependency that failed is left alone for a while"
    counts_as_failure = False

    def __init__(self, detail: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooBusy(Unavailable):
    """As many calls as may be going to the target already are."""

    code = "target_busy"
    title = "A dependency has too much to do"
    counts_as_failure = False


class PolicyTimeout(TimedOut):
    """The target did not answer within the time of its policy."""

    code = "dependency_timed_out"
    title = "A dependency did not answer in time"
