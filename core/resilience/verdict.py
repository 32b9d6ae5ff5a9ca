"""What an error says about the dependency that was called."""

from __future__ import annotations

from enum import Enum, auto

from core.errors import Internal, Unavailable, WaystationError


class Verdict(Enum):
    """FAILED counts against the target, ANSWERED for it, NOTHING not at all."""

    ANSWERED = auto()
    FAILED = auto()
    NOTHING = auto()


def judge(error: BaseException) -> Verdict:
    """What the breaker makes of an error.

    A target that refuses a request (a 4xx) is alive. One that limits requests
    says nothing of its health, nor does a bug of ours or a caller who left.
    """
    if not isinstance(error, WaystationError):
        return Verdict.NOTHING
    if error.counts_as_failure:
        return Verdict.FAILED
    return Verdict.NOTHING if isinstance(error, (Unavailable, Internal)) else Verdict.ANSWERED
