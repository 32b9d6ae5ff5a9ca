"""A dependency that does what a test tells it, and what such tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, Unavailable
from core.events.subscription import Event
from core.resilience import Policies, Policy, ResilienceSettings

OPEN_S = 0.05  # for tests that wait for the probe; for all others an open breaker stays open


class Down(Unavailable):
    """The dependency fails."""


class Limited(Unavailable):
    """The dependency wants fewer requests."""

    counts_as_failure = False

    def __init__(self, retry_after: float) -> None:
        super().__init__("slower, please")
        self.retry_after = retry_after


class Refusing(InvalidInput):
    """The dependency does not accept the request."""


class Dependency:
    """Answers with its number of calls; `error` makes it fail, `hold` makes it wait for `go`."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Callable[[], Exception] | None = None
        self.hold = False
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.calls += 1
        self.reached.set()
        if self.hold:
            await self.go.wait()
        if self.error:
            raise self.error()
        return self.calls

    async def stream(self, items: Sequence[Any]) -> AsyncIterator[Any]:
        """The items; one that is an exception is raised."""
        self.calls += 1
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item


class Service:
    """Policies with short waits, and the events that they published."""

    def __init__(self, resets: Path | None = None, **other: Any) -> None:
        numbers = {"open_s": 60, "backoff_s": 0.001, "attempts": 1, **other}
        self.events: list[Event] = []
        self.policies = Policies(
            ResilienceSettings.model_validate({"other": numbers}), publish=self.events.append, resets=resets
        )

    def policy(self, name: str = "x") -> Policy:
        return self.policies.of("other", name)

    def state(self, name: str = "x") -> str:
        return next(each.state for each in self.policies.status() if each.name == name)


async def fail(policy: Policy, times: int) -> None:
    """Let calls fail until the breaker opens, at most `times`."""
    dependency = Dependency()
    dependency.error = Down
    for _ in range(times):
        try:
            await policy.call(dependency, retry=False)
        except Unavailable:
            continue


async def until_probed(policy: Policy, dependency: Dependency) -> int:
    """Call until the breaker lets one through; gives its result."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await policy.call(dependency)
            except Unavailable as error:
                await asyncio.sleep(getattr(error, "retry_after", 0.0) + 0.001)
