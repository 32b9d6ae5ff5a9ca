"""Tries after a failed one, by stamina: how long to wait before each, and when to give up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from stamina import AsyncRetryingCaller
from stamina.instrumentation import set_on_retry_hooks

from core.errors import TimedOut, Unavailable
from core.resilience.breaker import Breaker
from core.resilience.errors import BreakerOpen, TooBusy
from core.resilience.settings import PolicySettings

T = TypeVar("T")

Again = Callable[[Unavailable], bool]

# stamina would count in Prometheus' global registry and log by itself; we do both in one place of ours.
set_on_retry_hooks([])


class Tries(Generic[T]):
    """The tries of one call after its first has failed.

    Args:
        until: The loop's time at which the caller's patience ends.
        again: Whether this error of this call may be tried again at all.
        counted: Told of every further try.
    """

    def __init__(
        self,
        settings: PolicySettings,
        breaker: Breaker,
        *,
        until: float,
        again: Again,
        counted: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._breaker = breaker
        self._until = until
        self._again = again
        self._counted = counted
        self._failures = 0

    async def after(self, first: Unavailable, attempt: Callable[[], Awaitable[T]]) -> T:
        """Go on after `first`, the error of the first try; raises the last error."""
        # The first try stands outside of stamina, whose loop costs a call that works more than all the rest.
        missed: list[Unavailable] = [first]

        async def try_again() -> T:
            if missed:
                raise missed.pop()
            self._counted()
            return await attempt()

        caller = AsyncRetryingCaller(attempts=self._settings.attempts, timeout=None)
        return await caller(self._pause, try_again)

    def _pause(self, error: Exception) -> float | bool:
        """Seconds until the next try, or False when there is none."""
        # Who timed out has taken the caller's time; who is open or full would only say so again.
        if not isinstance(error, Unavailable) or isinstance(error, (TimedOut, BreakerOpen, TooBusy)):
            return False
        self._failures += 1
        if not error.retryable or self._breaker.state == "open" or not self._again(error):
            return False
        pause = self._wished(error)
        if pause > self._settings.longest_backoff_s:
            return False
        return pause if asyncio.get_running_loop().time() + pause < self._until else False

    def _wished(self, error: Unavailable) -> float:
        asked: float | None = getattr(error, "retry_after", None)
        if asked is not None:
            return asked
        grown = self._settings.backoff_s * 2.0 ** (self._failures - 1)
        # Callers that failed together do not come back together.
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret about it
        return min(grown, self._settings.longest_backoff_s) * jitter
