"""How one target is called: retry(breaker(timeout(call))), within a bounded number of calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple, TypeVar

from core.errors import TimedOut, Unavailable
from core.resilience.errors import PolicyTimeout
from core.resilience.retry import Again, Tries
from core.resilience.settings import PolicySettings
from core.resilience.streams import Begun, begin, close
from core.resilience.target import Target
from core.resilience.verdict import Verdict, judge

T = TypeVar("T")

Late = Callable[[float], TimedOut]


class _Patience(NamedTuple):
    """The loop's time up to which a caller waits, and the error for then."""

    until: float
    late: Callable[[], TimedOut]


class Policy:
    """The way to call one target. Get one from `Policies.of`; it may be kept.

    A client that has retries of its own switches them off: a call has one owner.
    """

    def __init__(self, target: Target, settings: PolicySettings) -> None:
        self._target = target
        self.settings = settings

    async def call(
        self,
        fn: Callable[[], Awaitable[T]],
        *,
        timeout_s: float | None = None,
        retry: bool | Again = True,
        late: Late | None = None,
    ) -> T:
        """The result of `fn`, tried again where it fails and that may help.

        Args:
            fn: Makes one try. Its `Unavailable` errors count as failures of the target,
                other errors of ours as answers. `retry_after` of an error, in seconds, is honoured.
            timeout_s: Longest wait for it all, in seconds, the pauses too; the settings' by default.
            retry: Whether a failed try may be made again, or a function that says so of an error:
                False for what must not happen twice.
            late: Makes the error for a call that took too long from its seconds.

        Raises:
            BreakerOpen: The target failed too often and is left alone.
            TooBusy: Too many calls to it are going and waiting.
            PolicyTimeout: No result in time, unless `late` makes another error.
        """
        patience = self._patience(timeout_s, late)
        place = await self._target.enter(patience.until)
        try:
            return await self._tried(fn, patience, retry)
        finally:
            self._target.leave(place)

    async def stream(
        self,
        opened: Callable[[], AsyncIterator[T]],
        *,
        content: Callable[[T], bool],
        timeout_s: float | None = None,
        retry: bool | Again = True,
        late: Late | None = None,
    ) -> AsyncIterator[T]:
        """The items of a stream, which is opened again where it fails before its first content.

        Its begin and its end are two outcomes for the breaker, so that a
        target that always breaks off later is found out too. The silence and
        length of the rest are the business of whoever makes the stream.

        Args:
            opened: Makes the stream.
            content: Whether an item is something that a reader could have seen.
            timeout_s: Longest wait for the first content, in seconds.
            retry, late: As for `call`.

        Raises:
            BreakerOpen, TooBusy, PolicyTimeout: As `call`, before the first item.
        """
        patience = self._patience(timeout_s, late)
        place = await self._target.enter(patience.until)
        try:
            begun = await self._tried(lambda: begin(opened, content), patience, retry)
            async with aclosing(self._rest(begun)) as items:
                async for item in items:
                    yield item
        finally:
            self._target.leave(place)

    def _patience(self, timeout_s: float | None, late: Late | None) -> _Patience:
        limit = self.settings.timeout_s if timeout_s is None else timeout_s
        until = asyncio.get_running_loop().time() + limit

        def too_late() -> TimedOut:
            if late is not None:
                return late(limit)
            return PolicyTimeout(f"{self._target.label} did not answer within {limit:g} s")

        return _Patience(until, too_late)

    async def _tried(self, fn: Callable[[], Awaitable[T]], patience: _Patience, retry: bool | Again) -> T:
        """`fn`, until it works or trying again is no use."""

        async def attempt() -> T:
            return await self._target.attempt(fn, until=patience.until, late=patience.late)

        try:
            return await attempt()
        except Unavailable as error:
            if retry is False or self.settings.attempts == 1:
                raise
            first = error
        tries: Tries[T] = Tries(
            self.settings,
            self._target.breaker,
            until=patience.until,
            again=_always if retry is True else retry,
            counted=self._target.count_retry,
        )
        return await tries.after(first, attempt)

    async def _rest(self, begun: Begun[T]) -> AsyncGenerator[T, None]:
        """What has come, then what comes; how that ends is the stream's second outcome."""
        breaker = self._target.breaker
        era = breaker.era
        try:
            for item in begun.items:
                yield item
            if begun.ended:
                return
            async for item in begun.rest:
                yield item
        except Exception as error:
            await breaker.ended(error, era=era)
            if judge(error) is Verdict.FAILED:
                self._target.count("cut")
            raise
        else:
            await breaker.ended(None, era=era)
        finally:
            await close(begun.rest)


def _always(_: Unavailable) -> bool:
    return True
