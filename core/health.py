"""Health: one answer per module, run together, a deadline each, cached for five seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from core.errors import StorageUnavailable

CACHE_SECONDS = 5.0
# Traffic comes back soon after what every turn needs is back.
RETRY_SECONDS = 1.0
DEADLINE_SECONDS = 4.0
# Of its time a check may wait for so much: it has to answer before it is given up.
_SHARE = 0.8
# A check that has never answered counts as starting for so long: a busy machine takes its time.
STARTING_SECONDS = 60.0


class HealthState(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Health:
    """What one module says of itself.

    `since` is for checks that know it; where they do not, the board remembers
    when it first saw the state.
    `details` is JSON for operators: counts, states, versions; no secret, no path.
    """

    state: HealthState = HealthState.HEALTHY
    reason: str = ""
    since: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "reason": self.reason,
            "since": self.since.isoformat() if self.since else None,
            "details": dict(self.details),
        }


def healthy(**details: Any) -> Health:
    """All is well; `details` are shown to operators."""
    return Health(HealthState.HEALTHY, "", None, details)


def degraded(reason: str, **details: Any) -> Health:
    """It works in part: `reason` says for people what does not."""
    return Health(HealthState.DEGRADED, reason, None, details)


def failed(reason: str, **details: Any) -> Health:
    """It does not work: `reason` says for people why."""
    return Health(HealthState.FAILED, reason, None, details)


Check = Callable[[], Awaitable[Health]]

_patience: ContextVar[float] = ContextVar("waystation_health_patience", default=0.0)


def patience() -> float:
    """Seconds for which whoever asks can wait until what starts has started; 0 for a look at how it is."""
    return _patience.get()


class HealthBoard:
    """Runs the checks of all modules together and remembers since when each state holds.

    Args:
        checks: One async check per module name.
        required: Names without which no turn works; readiness asks only these.
        deadline: Seconds that one check may take.
        fresh: Seconds for which an answer is given again without asking.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        required: frozenset[str],
        deadline: float = DEADLINE_SECONDS,
        fresh: float = CACHE_SECONDS,
    ) -> None:
        self._checks = dict(checks)
        self._required = required
        self._deadline = deadline
        self._fresh = fresh
        self._last: dict[str, Health] = {}
        self._taken = float("-inf")
        self._lock = asyncio.Lock()
        self._made = time.monotonic()
        self._answered: set[str] = set()
        self._asked: dict[str, asyncio.Task[Health]] = {}

    async def report(self, *, patience: float | None = None) -> dict[str, Health]:
        """Health of each module, at most five seconds old.

        Args:
            patience: Seconds that one check may take this time, for whoever can wait until all have started.
        """
        async with self._lock:
            if time.monotonic() - self._taken > (self._fresh if self._well() else RETRY_SECONDS):
                deadline = self._deadline if patience is None else patience
                token = _patience.set(_SHARE * (patience or 0.0))
                try:
                    found = await asyncio.gather(*(self._one(name, deadline) for name in self._checks))
                finally:
                    _patience.reset(token)
                self._last = dict(zip(self._checks, found, strict=True))
                self._taken = time.monotonic()
            return dict(self._last)

    def _well(self) -> bool:
        return all(
            self._last[name].state is not HealthState.FAILED for name in self._required & set(self._last)
        )

    async def overall(self) -> HealthState:
        """The state of the service as a whole."""
        return overall(await self.report(), self._required)

    async def ready(self) -> bool:
        """True when no required module has failed."""
        report = await self.report()
        return all(report[name].state is not HealthState.FAILED for name in self._required)

    async def _one(self, name: str, deadline: float) -> Health:
        now = await self._answer(name, deadline)
        if now.since is not None:
            return now
        before = self._last.get(name)
        if before is not None and before.state is now.state:
            return replace(now, since=before.since)
        return replace(now, since=datetime.now(UTC))

    async def _answer(self, name: str, deadline: float) -> Health:
        task = self._asked.pop(name, None) or asyncio.create_task(_checked(self._checks[name]))
        try:
            # Not `timeout`: a check that does not let itself be cancelled must not delay the answer.
            await asyncio.wait({task}, timeout=deadline)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            self._answered.add(name)
            return task.result()
        starts = name not in self._answered and time.monotonic() - self._made < STARTING_SECONDS
        if starts and name not in self._required:
            self._asked[name] = task  # the next look waits for the same answer
            return degraded(f"starting: no answer within {deadline:g} s yet")
        task.cancel()
        return failed(f"no answer within {deadline:g} s")


async def _checked(check: Check) -> Health:
    try:
        return await check()
    except StorageUnavailable as error:
        return failed(error.detail)
    except Exception as error:  # noqa: BLE001 - an unforeseen fault in a check is itself a finding
        return failed(f"the check failed: {type(error).__name__}")


def overall(report: Mapping[str, Health], required: frozenset[str]) -> HealthState:
    """Failed when something that every turn needs has failed; degraded when anything else is not well."""
    if any(report[name].state is HealthState.FAILED for name in required):
        return HealthState.FAILED
    well = all(health.state is HealthState.HEALTHY for health in report.values())
    return HealthState.HEALTHY if well else HealthState.DEGRADED
