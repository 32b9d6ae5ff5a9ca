"""A loader that counts, and what the metric says."""

from __future__ import annotations

import asyncio
from typing import Any

from core.cache import CacheSettings, Kind
from core.cache.cache import LOOKUPS

RESULTS = ("hit", "miss", "shared", "bypass", "error")


class Loader:
    """Gives a new list at each call, and holds each caller until `gate` is open."""

    def __init__(self) -> None:
        self.calls = 0
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self) -> list[int]:
        self.calls += 1
        mine = self.calls
        self.started.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.fails:
            raise self.fails
        return [mine]


class Counted:
    """How often each result was counted for a kind since this was made."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for metric in LOOKUPS.collect():
            for sample in metric.samples:
                if sample.name.endswith("_total") and sample.labels["kind"] == self._kind:
                    found[sample.labels["result"]] = sample.value
        return found

    def results(self) -> dict[str, int]:
        now = self._now()
        grown = {name: int(now.get(name, 0) - self._before.get(name, 0)) for name in RESULTS}
        return {name: count for name, count in grown.items() if count}


def on_redis(url: str, **others: Any) -> CacheSettings:
    """Settings for a Redis of the test; as patient as they may be, for the machine may be busy."""
    return CacheSettings(**{"url": url, "timeout_s": 0.5, **others})
