"""Which sources can be used now: what they say when asked, and what their breakers saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from datetime import UTC, datetime
from typing import Any

from core.errors import WaystationError
from core.health import STARTING_SECONDS, Health, HealthState, degraded, healthy
from core.resilience import TargetStatus
from nodes.rag.errors import SourceUnavailable
from nodes.rag.source import Source, SourceCalls

CHECK_SECONDS = 3.5
# Files left out that a report names.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _SourceState:
    """One source: its own answer, since when that is bad, and its breaker where that is not closed."""

    name: str
    answer: Health
    gone: datetime | None
    breaker: TargetStatus | None
    embedder: tuple[str, datetime] | None

    def troubles(self) -> list[tuple[str, datetime]]:
        """What is wrong, each since when."""
        found = []
        if self.gone is not None and self.answer.reason:
            found.append((f"source '{self.name}' does not work: {self.answer.reason}", self.gone))
        if self.breaker is not None:
            found.append((f"source '{self.name}' is left alone: {self.breaker.reason}", self.breaker.since))
        if self.embedder is not None:
            why, since = self.embedder
            text = f"source '{self.name}' is searched by words alone: its embedder failed: {why}"
            found.append((text, since))
        return found

    def as_json(self) -> dict[str, Any]:
        since = min((since for _, since in self.troubles()), default=None)
        shown = {**self.answer.as_json(), "since": since.isoformat() if since else None}
        if self.breaker is None:
            return {**shown, "breaker": "closed"}
        return {**shown, "breaker": self.breaker.state, "breaker_since": self.breaker.since.isoformat()}


class SourceHealth:
    """Asks sources whether they answer, also those whose breaker is open.

    A source that was gone and is back is tried through its policy, so that it
    is used again although nobody has searched it meanwhile.

    Args:
        seconds: How long one source is waited for.
    """

    def __init__(self, calls: SourceCalls, *, seconds: float = CHECK_SECONDS) -> None:
        self._calls = calls
        self._seconds = seconds
        self._made = time.monotonic()
        self._answered: set[str] = set()
        # Sources that did not answer, and have not been used since: since when.
        self._gone: dict[str, datetime] = {}

    async def check(self, sources: Mapping[str, Source]) -> Health:
        """Degraded while a source does not work or is left alone; failed when none answers.

        Names each, and since when. An open breaker alone takes nothing out of use.
        """
        self._gone = {name: since for name, since in self._gone.items() if name in sources}
        answers = await asyncio.gather(*(self._ask(name, source) for name, source in sources.items()))
        breakers = self._calls.breakers()
        found = [
            _SourceState(
                name, answer, self._gone.get(name), _not_closed(breakers.get(name)), _unembedded(source)
            )
            for (name, source), answer in zip(sources.items(), answers, strict=True)
        ]
        details = {"sources": {one.name: one.as_json() for one in found}}
        troubles = sorted((t for one in found for t in one.troubles()), key=lambda trouble: trouble[1])
        if not troubles:
            return healthy(**details)
        # A source in which nothing can be read answers, and truly: that it has nothing.
        none_answers = not any(a.state is HealthState.HEALTHY or "readable" in a.details for a in answers)
        state = HealthState.FAILED if none_answers else HealthState.DEGRADED
        reason = "; ".join(f"{what} (since {since:%H:%M:%S} UTC)" for what, since in troubles)
        return Health(state, reason, troubles[0][1], details)

    async def _ask(self, name: str, source: Source) -> Health:
        try:
            async with asyncio.timeout(self._patience(name, source)):
                answer = await _answer(source)
                self._answered.add(name)
                if answer.state is HealthState.HEALTHY and await self._used_again(name, source):
                    self._gone.pop(name, None)
        except TimeoutError:
            answer = degraded(f"no answer within {self._seconds:g} s")
        except WaystationError as error:
            answer = degraded(error.detail)
        if answer.state is not HealthState.HEALTHY:
            self._gone.setdefault(name, datetime.now(UTC))
        return answer

    def _patience(self, name: str, source: Source) -> float:
        """An index takes long to open on a busy machine: until then it starts, and whoever asks says so."""
        left = self._made + STARTING_SECONDS - time.monotonic()
        opening = source.store is not None and name not in self._answered
        return max(self._seconds, left) if opening else self._seconds

    async def _used_again(self, name: str, source: Source) -> bool:
        """True unless its breaker still keeps calls away."""
        open_now = _not_closed(self._calls.breakers().get(name)) is not None
        try:
            if source.questions is not None:
                if open_now or source.questions.problem:
                    await source.questions.probe()
            # A service whose discovery works all the time may still hang in its query: only turns can tell.
            elif source.remote and open_now and name in self._gone:
                await self._calls.probe(name, source, lambda: _probe(source))
        except WaystationError:
            return False
        return True


async def _answer(source: Source) -> Health:
    if source.store and source.indexer:
        stats = await asyncio.to_thread(source.indexer.stats, source.shown_to_anybody)
        answer = await source.store.check(expected=source.indexer.manifest.read().chunks)
        counted = {"documents": stats.files, "chunks": stats.chunks, "skipped": stats.skipped}
        told = {**counted, "reasons": _first(stats.reasons)}
        details = {**answer.details, **told}
        if idle := (await asyncio.to_thread(source.stats, "")).idle_rules:
            details["idle_rules"] = list(idle)
        if answer.state is HealthState.HEALTHY and stats.problem:
            return degraded(stats.problem, **details, readable=False)
        found = dataclass_replace(answer, details=details)
        return source.shared.health(found) if source.shared is not None else found
    return await source.retriever.check()


def _first(reasons: Mapping[str, str]) -> dict[str, str]:
    return dict(list(reasons.items())[:_SHOWN])


async def _probe(source: Source) -> None:
    answer = await source.retriever.check()
    if answer.state is not HealthState.HEALTHY:
        raise SourceUnavailable(answer.reason)


def _unembedded(source: Source) -> tuple[str, datetime] | None:
    return source.questions.problem if source.questions is not None else None


def _not_closed(target: TargetStatus | None) -> TargetStatus | None:
    return target if target is not None and target.state != "closed" else None
