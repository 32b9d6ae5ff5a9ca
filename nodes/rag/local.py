"""Search the index of a local source: by words, and by meaning where there is an embedder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from core.health import Health
from nodes.rag.models import Chunk, Collection, Found, Passage
from nodes.rag.ports import ChunkStore, Embedder
from nodes.rag.terms import query_terms

CANDIDATES = 50
ENOUGH_WEIGHT = 1.6
# The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009).
_RRF = 60


class LocalRetriever:
    """Ranks what the store finds by how much of the query it holds.

    BM25 alone says what is best, not whether it is any good: the best passage
    for "What is 5 + 3?" still has a score. So a passage must hold `min_score`
    of the query's weight, where rare words weigh more.
    """

    def __init__(
        self, source: str, *, store: ChunkStore, min_score: float, embedder: Embedder | None = None
    ) -> None:
        self._source = source
        self._store = store
        self._min_score = min_score
        self._embedder = embedder

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """At most `limit` passages, best first. The whole source is one right, and has no parts."""
        wanted = query_terms(query)
        if not wanted:
            return []
        found = await self._store.find(wanted, limit=max(CANDIDATES, limit))
        ranked = rank(found, wanted, min_score=self._min_score)
        if self._embedder:
            [vector] = await self._embedder.embed([query])
            near = await self._store.near(vector, limit=max(CANDIDATES, limit))
            ranked = merge(ranked, [f for f in near if f.score >= self._min_score])
        return [self._passage(f) for f in distinct(ranked)[:limit]]

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        return ()

    async def check(self) -> Health:
        return await self._store.check(expected=0)

    def _passage(self, found: Found) -> Passage:
        chunk = found.chunk
        return Passage(
            source=self._source,
            document=chunk.document,
            title=chunk.title,
            text=chunk.text,
            score=round(min(found.score, 1.0), 4),
            uri=chunk.uri,
            start=chunk.start,
            end=chunk.end,
        )


def rank(found: Sequence[Found], wanted: Sequence[str], *, min_score: float) -> list[Found]:
    """Those that hold at least `min_score` of the weight of `wanted`, or two of its rare terms, best first.

    A long message speaks of much that no single passage holds, hence the
    second way in. The score is the share, 0 to 1, by three quarters; BM25
    relative to the best gives the rest.
    """
    if not found:
        return []
    held = [set(f.chunk.terms.split()) for f in found]
    weights = _weights(held, wanted)
    total, top = sum(weights.values()), max(f.score for f in found) or 1.0
    scored = []
    for item, words in zip(found, held, strict=True):
        weight = sum(weight for term, weight in weights.items() if term in words)
        share = weight / total
        if share >= min_score or weight >= ENOUGH_WEIGHT:
            scored.append(Found(item.chunk, share * (0.75 + 0.25 * item.score / top)))
    return sorted(scored, key=lambda f: -f.score)


def _weights(held: Sequence[set[str]], wanted: Sequence[str]) -> dict[str, float]:
    """1 for a term that few candidates hold (or none), down to 0.1 for one that all hold."""
    count = len(held)
    weights = {}
    for term in wanted:
        having = sum(1 for words in held if term in words)
        rarity = math.log((count + 1) / (having + 0.5)) / math.log((count + 1) / 1.5) if count > 1 else 1.0
        weights[term] = min(1.0, max(0.1, rarity))
    return weights


def merge(*rankings: Sequence[Found]) -> list[Found]:
    """One ranking of several by reciprocal rank; each chunk keeps its best score."""
    points: dict[str, float] = {}
    best: dict[str, Found] = {}
    for ranking in rankings:
        for position, item in enumerate(ranking, start=1):
            key = item.chunk.id
            points[key] = points.get(key, 0.0) + 1 / (_RRF + position)
            if key not in best or item.score > best[key].score:
                best[key] = item
    return sorted(best.values(), key=lambda f: -points[f.chunk.id])


def distinct(found: Iterable[Found]) -> list[Found]:
    """Without chunks whose text came before: copies of a page say nothing new."""
    seen: dict[str, Found] = {}
    for item in found:
        seen.setdefault(_body(item.chunk), item)
    return list(seen.values())


def _body(chunk: Chunk) -> str:
    return " ".join(chunk.text.split())
