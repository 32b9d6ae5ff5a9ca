"""A source as it is served, and how it is asked.

What is known is not asked again, and what leaves the process goes through a policy. The index of a
local source is read here, in milliseconds: to cache its answers would gain nothing, a breaker would
not make it fail any faster, and a bound on calls would turn people away. It only has a time limit, and
what it asks of endpoints has limits of its own within that.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, Protocol, TypeVar, runtime_checkable

from pydantic import SecretStr, TypeAdapter

from core.access import Principal, may_use
from core.cache import Cache
from core.errors import TimedOut
from core.resilience import Policies, Policy, ResilienceSettings, TargetStatus
from nodes.rag.embedding import QuestionEmbedder
from nodes.rag.errors import SourceTimedOut
from nodes.rag.indexing import Indexer
from nodes.rag.manifest import PlacedStore
from nodes.rag.models import Collection, Passage, SourceStats
from nodes.rag.ports import ChunkStore, Retriever
from nodes.rag.rights import Shown
from nodes.rag.settings import HttpSource, LocalSource, McpSource, RagSettings, SourceEntry
from nodes.rag.shared.index import SharedIndex
from nodes.rag.vectors import VectorFiller
from nodes.rag.views import Views

T = TypeVar("T")
_PASSAGES = TypeAdapter(list[Passage])
_COLLECTIONS = TypeAdapter(list[Collection])


@runtime_checkable
class Closeable(Protocol):
    """A retriever that keeps something open for itself alone."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is served. `indexer` and `store` are set for a local one, `vectors` where it has any.

    `views` are set where some may not see all of it, `shared` where its index is in a bucket, `questions`
    where an endpoint makes the vectors of questions.
    """

    entry: SourceEntry
    retriever: Retriever
    indexer: Indexer | None = None
    store: ChunkStore | None = None
    vectors: VectorFiller | None = None
    views: Views | None = None
    shared: SharedIndex | None = None
    questions: QuestionEmbedder | None = None

    @property
    def remote(self) -> bool:
        """Whether another service is searched."""
        return not isinstance(self.entry, LocalSource)

    def retriever_for(self, principal: Principal) -> Retriever:
        """What searches all of it that the user may see."""
        return (self.views.retriever(principal) if self.views else None) or self.retriever

    def shown_to(self, principal: Principal) -> Shown | None:
        """Which of its documents the user may see; None: all."""
        return self.views.shown(principal) if self.views else None

    @property
    def shown_to_anybody(self) -> Shown | None:
        """Which of its documents everyone may see who may search it; None: all."""
        return self.views.rights.anybody if self.views else None

    @property
    def writes(self) -> bool:
        """Whether its index is made here."""
        return self.indexer is not None and (self.shared is None or self.shared.writes)

    def written(self) -> AbstractAsyncContextManager[None]:
        """A block in which its index may be changed; it is published at the end, where it is shared."""
        return self.shared.written() if self.shared is not None else nullcontext()

    def stats(self, name: str) -> SourceStats:
        """What its index holds, whoever may see it."""
        if self.indexer is None:
            return SourceStats(name, self.entry.type)
        found = self.indexer.stats()
        if self.shared is not None:
            found = replace(found, index=self.shared.status())
        if self.views is None or not found.files:
            return found
        there = [*self.indexer.manifest.read().files]
        return replace(found, idle_rules=tuple(self.views.rights.idle(there)))

    async def aclose(self) -> None:
        """End what the source keeps open for itself."""
        if isinstance(self.retriever, Closeable):
            await self.retriever.aclose()

    @property
    def version(self) -> str:
        """Changes with the entry, its token too, and with each indexing; older answers are over then."""
        written = json.dumps(self.entry.model_dump(), sort_keys=True, default=_plain)
        generation = self.indexer.manifest.generation() if self.indexer else ""
        return hashlib.sha256(f"{written}\n{generation}".encode()).hexdigest()


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def policy_of(policies: Policies, name: str, entry: SourceEntry, settings: RagSettings) -> Policy:
    """The policy of a source: `resilience.targets` wins over what its entry says of the time."""
    timeout_s = settings.timeout_s
    if isinstance(entry, HttpSource):
        timeout_s = entry.timeout
    elif isinstance(entry, McpSource):
        timeout_s = entry.timeout_s
    return policies.of("source", name, timeout_s=timeout_s)


class SourceCalls:
    """Asks sources in a user's name.

    Args:
        policies: How remote sources are called; None: as the defaults say.
        cache: Knows answers from before; None: each question is asked.
    """

    def __init__(
        self, settings: RagSettings, *, policies: Policies | None = None, cache: Cache | None = None
    ) -> None:
        self._settings = settings
        self._policies = policies or Policies(ResilienceSettings())
        self._cache = cache

    async def passages(
        self, name: str, source: Source, text: str, *, principal: Principal, limit: int
    ) -> list[Passage]:
        """What the source finds for the user.

        Raises:
            BreakerOpen, TooBusy: It is not asked now.
            SourceTimedOut: It did not answer within its time.
            SourceUnavailable, SourceRejected, SourceRefused: It answered, and not with passages.
        """
        if not source.remote:
            return await self._in_time(_searched(source, text, principal, limit))

        async def search_it() -> list[Passage]:
            return await self._search(name, source, text, principal, limit)

        key = [name, source.version, text, limit]
        return await self._kept("retrieval", key, search_it, principal, _PASSAGES)

    async def collections(self, name: str, source: Source, *, principal: Principal) -> list[Collection]:
        """The parts of the source that the user may search. Raises what `passages` raises."""
        if isinstance(source.entry, LocalSource):
            return list(await self._in_time(source.retriever.collections(as_user=principal.id)))
        policy = self._policy(name, source)

        async def discover() -> list[Collection]:
            return list(await source.retriever.collections(as_user=principal.id))

        async def asked() -> list[Collection]:
            return await policy.call(discover, late=_late(policy.settings.timeout_s))

        found = await self._kept("discovery", [name, source.version], asked, principal, _COLLECTIONS)
        if isinstance(source.entry, McpSource):
            # A server there names groups and levels of ours, and leaves it to us to look at them.
            return [collection for collection in found if may_use(principal, collection)]
        return found

    def retain(self, names: set[str]) -> None:
        """Forget what is known of all other sources: they are no longer configured."""
        self._policies.retain("source", names)

    async def probe(self, name: str, source: Source, call: Callable[[], Awaitable[object]]) -> None:
        """Let `call` find out whether the source can be used again; its breaker learns from it.

        Raises:
            BreakerOpen: It is too early.
            WaystationError: What `call` raises.
        """
        await self._policy(name, source).call(call, retry=False)

    def breakers(self) -> dict[str, TargetStatus]:
        """What is known of each source that was called, by its name."""
        return {target.name: target for target in self._policies.status() if target.kind == "source"}

    async def _search(
        self, name: str, source: Source, text: str, principal: Principal, limit: int
    ) -> list[Passage]:
        """Discovery and query are a call each, and share the time of the source."""
        policy, clock = self._policy(name, source), asyncio.get_running_loop()
        seconds = policy.settings.timeout_s
        until = clock.time() + seconds
        within = await self.collections(name, source, principal=principal)

        async def query() -> list[Passage]:
            return await _searched(source, text, principal, limit, within)

        return await policy.call(query, timeout_s=until - clock.time(), late=_late(seconds))

    def _policy(self, name: str, source: Source) -> Policy:
        return policy_of(self._policies, name, source.entry, self._settings)

    async def _in_time(self, answer: Awaitable[T]) -> T:
        seconds = self._settings.timeout_s
        try:
            async with asyncio.timeout(seconds) as clock:
                return await answer
        except TimeoutError as error:
            if not clock.expired():
                raise
            raise _late(seconds)(seconds) from error

    async def _kept(
        self,
        kind: Literal["discovery", "retrieval"],
        key: list[object],
        load: Callable[[], Awaitable[T]],
        who: Principal,
        as_type: TypeAdapter[T],
    ) -> T:
        if self._cache is None:
            return await load()
        return await self._cache.get(kind, key, load, who=who, as_type=as_type)


async def _searched(
    source: Source,
    text: str,
    principal: Principal,
    limit: int,
    within: Sequence[Collection] | None = None,
) -> list[Passage]:
    """One search, in one index: another may take its place meanwhile."""
    retriever = source.retriever_for(principal)
    with source.store.pinned() if isinstance(source.store, PlacedStore) else nullcontext():
        return list(await retriever.search(text, limit=limit, as_user=principal.id, within=within))


def _late(seconds: float) -> Callable[[float], TimedOut]:
    """Says the time of the whole question, whatever was left of it for the last call."""
    return lambda _: SourceTimedOut(f"no answer within {seconds:g} s")


def interleave(answers: Sequence[Sequence[Passage]]) -> list[Passage]:
    """One ranking over all sources: their first passages, then their second ones, the better first.

    Scores of different services do not compare, so ranks decide; scores above
    1 are brought to at most 1 within their own source.
    """
    scaled = [_scaled(answer) for answer in answers]
    merged: list[Passage] = []
    for row in zip_longest(*scaled):
        merged += sorted((p for p in row if p is not None), key=lambda p: -p.score)
    return merged


def _scaled(answer: Sequence[Passage]) -> list[Passage]:
    top = max((p.score for p in answer), default=0.0)
    if top <= 1:
        return list(answer)
    return [replace(p, score=round(max(p.score, 0.0) / top, 4)) for p in answer]
