"""One thing that can fail: its breaker, its places and its numbers, shared by all policies for it.

The breaker says who counts, who probes, and what it says of itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TypeVar

from anyio import CapacityLimiter, WouldBlock
from prometheus_client import Counter, Gauge

from core.errors import Internal, TimedOut, Unavailable, WaystationError
from core.observability import REGISTRY
from core.resilience.errors import BreakerOpen, TooBusy
from core.resilience.settings import Kind, PolicySettings
from core.resilience.status import TargetStatus

T = TypeVar("T")

State = Literal["closed", "open", "half_open"]
Moved = Callable[[State, State], None]


class Refused(Exception):
    """The breaker lets no call through now."""


def outcome_of(error: BaseException) -> Literal["failed", "refused", "error"]:
    """What an error says of the target: "failed" counts against it, "refused" for it, "error" not at all.

    A target that refuses a request (a 4xx) is alive. One that limits requests
    says nothing of its health, nor does a bug of ours or a caller who left.
    """
    if not isinstance(error, WaystationError):
        return "error"
    if error.counts_as_failure:
        return "failed"
    return "error" if isinstance(error, (Unavailable, Internal)) else "refused"


class Breaker:
    """The breaker of one target.

    Args:
        changed: Told of every change of state, the old one first.
        reset_asked: Whether an operator has asked for a reset since that time
            (seconds since 1970); asked before a call is refused.
    """

    def __init__(
        self, settings: PolicySettings, *, changed: Moved, reset_asked: Callable[[float], bool]
    ) -> None:
        self._settings = settings
        self._changed = changed
        self._reset_asked = reset_asked
        self._latest: deque[bool] = deque(maxlen=settings.window)  # True for a call that failed
        self._failures = 0
        self._in_a_row = 0
        self._opened_by = (0, 0)
        self._opened = 0.0
        self._changed_at = 0.0
        self._probing = False
        self._try_now = False
        self._last_code = ""
        self.era = 0
        """Changes with every change of state; an outcome of an earlier era is no news."""
        self.state: State = "closed"
        self.since = datetime.now(UTC)
        self.reason = ""

    @property
    def calls(self) -> tuple[int, int]:
        """(failed, all) of the latest calls; while it is not closed, those that opened it."""
        return (self._failures, len(self._latest)) if self.state == "closed" else self._opened_by

    def retry_after(self) -> float:
        """Seconds until a call is let through; 0 when one may be now."""
        if self._try_now:
            return 0.0
        return max(0.0, self._changed_at + self._settings.open_s - time.monotonic())

    def admit(self) -> None:
        """Pass when a call may go now, before it waits for anything.

        Raises:
            Refused: The breaker is open, or half open and another call is its probe.
        """
        if self.state == "closed":
            return
        if self._probing or (self.state == "open" and self.retry_after() > 0):
            if not self._reset_asked(self._opened):
                raise Refused
            self.reset()

    async def call(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`; its error counts as `outcome_of` says.

        Raises:
            Refused: As `admit`.
        """
        self.admit()
        if self.state == "open":
            self._change("half_open")
        era, probing = self.era, self.state == "half_open"
        self._probing = self._probing or probing
        try:
            result = await call()
        except BaseException as error:
            self._count(error, era, probing=probing)
            raise
        self._count(None, era, probing=probing)
        return result

    def ended(self, error: BaseException | None, *, era: int) -> None:
        """Count how the rest of a stream went that began in `era`: its second outcome."""
        if self.state == "closed":
            self._record(error, era)

    def hurry(self) -> None:
        """Let the next call be the probe, however long ago it opened: there is news of the target."""
        self._try_now = self.state != "closed"

    def reset(self) -> None:
        """Close it and forget every call, as an operator asks."""
        self._forget_calls()
        if self.state != "closed":
            self._change("closed")

    def _count(self, error: BaseException | None, era: int, *, probing: bool) -> None:
        """A call has ended; one that says nothing leaves the turn of the probe to the next one."""
        if probing:
            self._probing = False
        self._record(error, era)

    def _record(self, error: BaseException | None, era: int) -> None:
        """Add an outcome, unless it says nothing or is of an earlier era.

        Calls that hung since before it opened would open it again after it has closed.
        """
        outcome = "ok" if error is None else outcome_of(error)
        if outcome == "error" or era != self.era:
            return
        failed = outcome == "failed"
        if len(self._latest) == self._latest.maxlen:
            self._failures -= self._latest[0]
        self._latest.append(failed)
        self._failures += failed
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if failed:
            self._last_code = getattr(error, "code", "")
        if self.state == "half_open":
            self._change("open" if failed else "closed")
        elif self._failed_too_often():
            self._change("open")

    def _failed_too_often(self) -> bool:
        settings, calls = self._settings, len(self._latest)
        if self._in_a_row >= settings.in_a_row:
            return True
        return calls >= settings.min_calls and self._failures / calls >= settings.failure_rate

    def _forget_calls(self) -> None:
        self._latest.clear()
        self._failures = self._in_a_row = 0

    def _change(self, state: State) -> None:
        before, self.state = self.state, state
        self.era += 1
        self._changed_at = time.monotonic()
        self._try_now = self._try_now and state == "open"
        if "closed" in (before, state):  # a probe that fails is no new trouble
            self.since = datetime.now(UTC)
        if state == "open":
            failed, calls = self._opened_by = self._failures, len(self._latest)
            self.reason = f"{failed} of {calls} calls failed, the last with {self._last_code}"
            self._opened = time.time() if before == "closed" else self._opened
        elif state == "closed":
            self.reason = ""
        self._forget_calls()
        self._changed(before, state)


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

    async def enter(self, place: object, until: float) -> None:
        """Take a place among the calls, to be given back with `leave`.

        Args:
            until: The loop's time up to which the caller waits.

        Raises:
            BreakerOpen, TooBusy: No call may go now.
        """
        try:
            self.breaker.admit()
        except Refused:
            raise self._open() from None
        try:
            self._places.acquire_on_behalf_of_nowait(place)
        except WouldBlock:
            await self._wait_for(place, until)

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


class Slot:
    """A caller's place among the calls of a target: held once or not at all, and not beyond the block."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._held = False

    async def enter(self, until: float) -> None:
        """Have the place, from before or anew. Takes and raises what `Target.enter` does."""
        if not self._held:
            await self._target.enter(self, until)
            self._held = True

    def leave(self) -> None:
        """Give it back, if it is held."""
        if self._held:
            self._held = False
            self._target.leave(self)

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
