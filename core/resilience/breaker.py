"""fluxgate's circuit breaker behind our port: who counts, who probes, and what it says of itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal, TypeVar

from fluxgate import AsyncCircuitBreaker, CallNotPermittedError
from fluxgate.metric import Metric
from fluxgate.permits import All
from fluxgate.retries import Retry
from fluxgate.trackers import Custom
from fluxgate.trippers import CallContext, FailureRate, FailureStreak, HalfOpened, MinRequests, Tripper

from core.errors import WaystationError
from core.resilience.settings import PolicySettings
from core.resilience.verdict import Verdict, judge
from core.resilience.window import LatestCalls

T = TypeVar("T")

State = Literal["closed", "open", "half_open"]
Changed = Callable[[State, State], None]


class Refused(Exception):
    """The breaker lets no call through now."""


class _Remembered(Tripper):
    """A rule that keeps what it saw last: fluxgate forgets its window at a transition."""

    def __init__(self, rule: Tripper) -> None:
        self._rule = rule
        self.seen = Metric.empty()
        self.tripped = False

    def __call__(self, ctx: CallContext) -> bool:
        self.seen = ctx.metric
        self.tripped = self._rule(ctx)
        return self.tripped


class _WhenDue(Retry):
    """fluxgate's word for when a probe may go."""

    def __init__(self, due: Callable[[], bool]) -> None:
        self._due = due

    def __call__(self, changed_at: float, reopens: int) -> bool:
        return self._due()


class Breaker:
    """The breaker of one target.

    Args:
        changed: Told of every change of state, the old one first.
        reset_asked: Whether an operator has asked for a reset since that time
            (seconds since 1970); asked before a call is refused.
    """

    def __init__(
        self, settings: PolicySettings, *, changed: Changed, reset_asked: Callable[[float], bool]
    ) -> None:
        failing = MinRequests(settings.min_calls) & FailureRate(settings.failure_rate)
        probe_failed = HalfOpened() & FailureStreak(1)
        self._rule = _Remembered(probe_failed | FailureStreak(settings.in_a_row) | failing)
        self._open_s = settings.open_s
        # No listeners: fluxgate would run them in tasks of their own, and a cancelled caller would lose them.
        self._fluxgate = AsyncCircuitBreaker(
            window=LatestCalls(settings.window),
            tracker=Custom(lambda error: error is self._counted),
            tripper=self._rule,
            retry=_WhenDue(lambda: self.retry_after() <= 0),
            permit=All(),
            max_half_open_calls=1,
        )
        self._changed = changed
        self._reset_asked = reset_asked
        self._counted: Exception | None = None
        self._probing = False
        self._hurried = False
        self._era = 0
        self._opened = 0.0
        self._last_code = ""
        self.state: State = "closed"
        self.since = datetime.now(UTC)
        self.reason = ""

    @property
    def calls(self) -> tuple[int, int]:
        """(failed, all) of the latest calls; while it is not closed, those that opened it."""
        seen = self._fluxgate.info().metrics if self.state == "closed" else self._rule.seen
        return seen.failure_count, seen.total_count

    @property
    def era(self) -> int:
        """Changes with every change of state; an outcome of an earlier era is no news."""
        return self._era

    def retry_after(self) -> float:
        """Seconds until a call is let through; 0 when one may be now."""
        if self._hurried:
            return 0.0
        return max(0.0, self._fluxgate.info().changed_at + self._open_s - time.time())

    async def admit(self) -> None:
        """Pass when a call may go now, before it waits for anything.

        Raises:
            Refused: The breaker is open, or half open and another call is its probe.
        """
        if self.state == "closed":
            return
        if self._probing or (self.state == "open" and self.retry_after() > 0):
            if not self._reset_asked(self._opened):
                raise Refused
            await self.reset()

    async def call(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`; its error counts, is an answer or is nothing, as `judge` says.

        Raises:
            Refused: As `admit`.
        """
        if self.state != "closed":
            await self.admit()
        try:
            result, error = await self._fluxgate.call(self._guarded, call)
        except CallNotPermittedError:
            raise Refused from None
        except BaseException:
            self._counted = None
            self._look()
            raise
        if self._rule.tripped or self.state != "closed":
            self._look()
        if error is not None:
            raise error
        return result[0]

    async def ended(self, error: BaseException | None, *, era: int) -> None:
        """Record how the rest of a stream went that began in `era`: its second outcome."""
        verdict = Verdict.ANSWERED if error is None else judge(error)
        if verdict is Verdict.NOTHING or era != self._era or self.state != "closed":
            return

        async def again() -> None:
            if error is not None:
                raise error

        try:
            await self.call(again)
        except WaystationError:
            return  # the stream itself raises it

    def hurry(self) -> None:
        """Let the next call be the probe, however long ago it opened: there is news of the target."""
        self._hurried = self.state != "closed"

    async def reset(self) -> None:
        """Close it and forget every call, as an operator asks."""
        await self._fluxgate.reset()
        self._look()

    async def _guarded(self, call: Callable[[], Awaitable[T]]) -> tuple[tuple[T, ...], Exception | None]:
        """What fluxgate runs: a result and an answer that refuses both return, so that both count as good."""
        if self.state != "closed":
            self._look()
        era, probing = self._era, self.state == "half_open"
        self._probing = self._probing or probing
        try:
            return (await call(),), None
        except Exception as error:
            verdict = judge(error)
            if verdict is Verdict.ANSWERED:
                return (), error
            # Calls that hung since before it opened would open it again after it has closed.
            if verdict is Verdict.FAILED and era == self._era:
                self._counted, self._last_code = error, getattr(error, "code", "")
            raise
        finally:
            if probing:
                self._probing = False

    def _look(self) -> None:
        """Notice a change of state; nothing is awaited between fluxgate's change and this."""
        state = self._fluxgate.info().state
        if state == self.state or state not in ("closed", "open", "half_open"):
            return
        before, self.state = self.state, state
        self._era += 1
        self._hurried = self._hurried and state == "open"
        if "closed" in (before, state):  # a probe that fails is no new trouble
            self.since = datetime.now(UTC)
        if state == "open":
            failed, calls = self.calls
            self.reason = f"{failed} of {calls} calls failed, the last with {self._last_code}"
            self._opened = time.time() if before == "closed" else self._opened
        elif state == "closed":
            self.reason = ""
        self._changed(before, state)
