"""Health: one answer per module, run together, a deadline each, cached for five seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

CACHE_SECONDS = 5.0
DEADLINE_SECONDS = 4.0


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
    return Health(HealthState.HEALTHY, "", None, details)


def degraded(reason: str, **details: Any) -> Health:
    return Health(HealthState.DEGRADED, reason, None, details)


def failed(reason: str, **details: Any) -> Health:
    return Health(HealthState.FAILED, reason, None, details)


Check = Callable[[], Awaitable[Health]]


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

    async def report(self) -> dict[str, Health]:
        """Health of each module, at most five seconds old."""
        async with self._lock:
            if time.monotonic() - self._taken > self._fresh:
                found = await asyncio.gather(*(self._one(name) for name in self._checks))
                self._last = dict(zip(self._checks, found, strict=True))
                self._taken = time.monotonic()
            return dict(self._last)

    async def overall(self) -> HealthState:
        """The state of the service as a whole."""
        return overall(await self.report(), self._required)

    async def ready(self) -> bool:
        """True when no required module has failed."""
        report = await self.report()
        return all(report[name].state is not HealthState.FAILED for name in self._required)

    async def _one(self, name: str) -> Health:
        try:
            async with asyncio.timeout(self._deadline) as deadline:
                now = await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - an unforeseen fault in a check is itself a finding
            if deadline.expired():
                now = failed(f"no answer within {self._deadline:g} s")
            else:
                now = failed(f"the check failed: {type(error).__name__}")
        if now.since is not None:
            return now
        before = self._last.get(name)
        if before is not None and before.state is now.state:
            return replace(now, since=before.since)
        return replace(now, since=datetime.now(UTC))


def overall(report: Mapping[str, Health], required: frozenset[str]) -> HealthState:
    """Failed when something that every turn needs has failed; degraded when anything else is not well."""
    if any(report[name].state is HealthState.FAILED for name in required):
        return HealthState.FAILED
    well = all(health.state is HealthState.HEALTHY for health in report.values())
    return HealthState.HEALTHY if well else HealthState.DEGRADED
