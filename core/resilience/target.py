"""One thing that can fail: its breaker, its places and its numbers, shared by all policies for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal, TypeVar

from anyio import CapacityLimiter, WouldBlock
from prometheus_client import Counter, Gauge

from core.errors import TimedOut, Unavailable
from core.observability import REGISTRY
from core.resilience.breaker import Breaker, Refused, State, outcome_of
from core.resilience.errors import BreakerOpen, TooBusy
from core.resilience.settings import Kind, PolicySettings
from core.resilience.status import TargetStatus

T = TypeVar("T")

# Names of targets come from the configuration, never from a user.
STATE = Gauge(
    "waystation_breaker_state",
    "State of a target's circuit breaker: 0 closed, 1 half open, 2 open.",
    ["kind", "name"],
    registry=REGISTRY,
)
CALLS = Counter(
    "waystation_dependency_calls_total",
    "Tries by outcome: the dependency's answers, and calls that never left us (open, busy).",
    ["kind", "name", "outcome"],
    registry=REGISTRY,
)
RETRIES = Counter(
    "waystation_dependency_retries_total", "Tries after a failed one.", ["kind", "name"], registry=REGISTRY
)

Outcome = Literal["ok", "refused", "failed", "timed_out", "cut", "cancelled", "error", "open", "busy"]
Changed = Callable[["Target", State], None]

_CALLED: dict[Kind, str] = {
    "model": "the model",
    "server": "the tool server",
    "source": "the source",
    "bucket": "the bucket",
    "other": "the dependency",
}
_GAUGE: dict[State, int] = {"closed": 0, "half_open": 1, "open": 2}


class Target:
    """What `kind` and `name` stand for.

    Args:
        changed: Told after the breaker changed its state, with the state before.
        reset_asked: Whether an operator asked to reset this target since a time (seconds since 1970).
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        settings: PolicySettings,
        *,
        changed: Changed,
        reset_asked: Callable[[str, float], bool],
    ) -> None:
        self.kind = kind
        self.name = name
        self._on_change = changed
        self._forgotten = False
        self._counters: dict[Outcome, Counter] = {}
        self._places = CapacityLimiter(settings.at_once)
        self._queue = settings.queue
        self._waiting = 0
        self.breaker = Breaker(
            settings, changed=self._changed, reset_asked=lambda since: reset_asked(self.key, since)
        )
        STATE.labels(kind, name).set(0)

    @property
    def key(self) -> str:
        """How settings and commands write it."""
        return f"{self.kind}:{self.name}"

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{_CALLED[self.kind]} '{self.name}'"

    def status(self) -> TargetStatus:
        """What operators see."""
        failures, calls = self.breaker.calls
        return TargetStatus(
            self.kind, self.name, self.breaker.state, self.breaker.since, failures, calls, self.breaker.reason
        )

    async def enter(self, until: float) -> object:
        """A place among the calls, to be given to `leave`.

        Args:
            until: The loop's time up to which the caller waits.

        Raises:
            BreakerOpen, TooBusy: No call may go now.
        """
        try:
            self.breaker.admit()
        except Refused:
            raise self._open() from None
        place = object()
        try:
            self._places.acquire_on_behalf_of_nowait(place)
        except WouldBlock:
            await self._wait_for(place, until)
        return place

    async def _wait_for(self, place: object, until: float) -> None:
        """A caller who leaves while he waits gives his place on."""
        if self._waiting >= self._queue:
            raise self._busy()
        self._waiting += 1
        try:
            async with asyncio.timeout_at(until):
                await self._places.acquire_on_behalf_of(place)
        except TimeoutError:
            raise self._busy() from None
        finally:
            self._waiting -= 1

    def leave(self, place: object) -> None:
        """Give a place back."""
        self._places.release_on_behalf_of(place)

    async def attempt(
        self, fn: Callable[[], Awaitable[T]], *, until: float, late: Callable[[], Unavailable]
    ) -> T:
        """One try through the breaker, ended by the error of `late` at the loop's time `until`.

        Raises:
            BreakerOpen: It was open, or half open with another call as its probe.
        """

        async def timed() -> T:
            try:
                async with asyncio.timeout_at(until) as clock:
                    return await fn()
            except TimeoutError as error:
                if not clock.expired():
                    raise
                raise late() from error

        try:
            result = await self.breaker.call(timed)
        except Refused:
            raise self._open() from None
        except asyncio.CancelledError:
            self.count("cancelled")
            raise
        except Exception as error:
            self.count("timed_out" if isinstance(error, TimedOut) else outcome_of(error))
            raise
        self.count("ok")
        return result

    def count(self, outcome: Outcome) -> None:
        """Count a try."""
        counter = self._counters.get(outcome)
        if counter is None:
            counter = self._counters[outcome] = CALLS.labels(self.kind, self.name, outcome)
        counter.inc()

    def count_retry(self) -> None:
        """Count a try after a failed one."""
        RETRIES.labels(self.kind, self.name).inc()

    def forget(self) -> bool:
        """Leave the metrics, and say nothing more; True when its breaker was not closed.

        A call that is still going ends as it would have.
        """
        self._forgotten = True
        with suppress(KeyError):  # two services in one process may have had the same target
            STATE.remove(self.kind, self.name)
        return self.breaker.state != "closed"

    def _busy(self) -> TooBusy:
        self.count("busy")
        return TooBusy(f"{self.label} has too many calls going; try again later")

    def _open(self) -> BreakerOpen:
        self.count("open")
        wait = self.breaker.retry_after()
        when = f"in {wait:.1f} s" if wait else "just now by somebody else"
        return BreakerOpen(
            f"{self.label} failed too often ({self.breaker.reason}); it is tried again {when}",
            retry_after=wait,
        )

    def _changed(self, before: State, now: State) -> None:
        if self._forgotten:
            return
        STATE.labels(self.kind, self.name).set(_GAUGE[now])
        self._on_change(self, before)
