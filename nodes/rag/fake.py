"""The in-memory implementations: a chunk store, and a retriever over given texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.health import Health, healthy
from nodes.rag.chunking import chunk_document
from nodes.rag.local import LocalRetriever
from nodes.rag.models import Chunk, Collection, Hit, Passage
from nodes.rag.ports import Known, View


class MemoryStore:
    """A chunk store that keeps everything in this process, with plain BM25."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[Chunk]] = {}
        self.vectors: dict[str, Sequence[float]] = {}

    async def replace(
        self,
        documents: Sequence[str],
        chunks: Sequence[Chunk],
        vectors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        for name in documents:
            self.chunks.pop(name, None)
        for chunk in chunks:
            self.chunks.setdefault(chunk.document, []).append(chunk)
        if vectors is not None:
            self.vectors |= {c.id: v for c, v in zip(chunks, vectors, strict=True)}

    async def find(self, terms: Sequence[str], *, limit: int, view: View | None = None) -> list[Hit]:
        counted = [(chunk, Counter(chunk.terms.split())) for chunk in self._all(view)]
        average = sum(c.total() for _, c in counted) / len(counted) if counted else 0.0
        found = [
            Hit(chunk, _bm25(terms, counts, [c for _, c in counted], average)) for chunk, counts in counted
        ]
        return _best([f for f in found if f.score > 0], limit)

    async def chunks_in(self, document: str, *, limit: int) -> list[Chunk]:
        return sorted(self.chunks.get(document, []), key=lambda chunk: chunk.start)[:limit]

    async def size(self, *, view: View | None = None) -> int:
        return len(self._all(view))

    async def term_counts(self, *, most: int, view: View | None = None) -> tuple[dict[str, int], int]:
        some = self._all(view)[:most]
        return dict(Counter(term for chunk in some for term in set(chunk.terms.split()))), len(some)

    async def near(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        known: Known | None = None,
        view: View | None = None,
    ) -> list[Hit]:
        some = self._all(view)
        found = [Hit(c, _cosine(vector, self.vectors[c.id])) for c in some if c.id in self.vectors]
        return _best(found, limit)

    async def reconcile(self) -> list[str]:
        there = [chunk.id for chunk in self._all()]
        self.vectors = {key: vector for key, vector in self.vectors.items() if key in there}
        return [key for key in there if key not in self.vectors]

    async def chunks_of(self, ids: Sequence[str]) -> list[Chunk]:
        return [chunk for chunk in self._all() if chunk.id in ids]

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, list[float]]:
        return {key: list(self.vectors[key]) for key in ids if key in self.vectors}

    async def attach(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self.vectors |= vectors

    async def settle(self) -> None:
        """Nothing to settle."""

    def edition(self) -> str:
        return ""

    async def open(self) -> None:
        """Nothing to open."""

    async def tidy(self) -> None:
        """Nothing to tidy."""

    async def check(self, *, expected: int) -> Health:
        return healthy(open=True, chunks=len(self._all()))

    def _all(self, view: View | None = None) -> list[Chunk]:
        shown = [c for name, c in self.chunks.items() if not view or (name in view.documents) is view.only]
        return [chunk for chunks in shown for chunk in chunks]


class FakeRetriever:
    """Searches texts that are given as {document: text}, like a local source does.

    Args:
        problem: Raised by every call instead of answering.
    """

    def __init__(
        self,
        source: str,
        documents: Mapping[str, str],
        *,
        min_score: float = 0.35,
        problem: Exception | None = None,
    ) -> None:
        self._documents = dict(documents)
        self._store = MemoryStore()
        self._inner = LocalRetriever(source, store=self._store, min_score=min_score)
        self._problem = problem
        self.asked: list[tuple[str, str]] = []

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """Remembers (query, user) in `asked`."""
        self.asked.append((query, as_user))
        if self._problem:
            raise self._problem
        for name, text in self._documents.items():
            await self._store.replace([name], chunk_document(name, text, chunk_tokens=200))
        return await self._inner.search(query, limit=limit, as_user=as_user)

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        if self._problem:
            raise self._problem
        return ()

    async def check(self) -> Health:
        return healthy(documents=len(self._documents))


class FakeReranker:
    """Puts first what shares most words with the question."""

    async def rerank(self, query: str, found: Sequence[Hit]) -> list[Hit]:
        asked = set(query.lower().split())
        scored = [
            replace(hit, score=len(asked & set(hit.chunk.text.lower().split())) / (len(asked) or 1))
            for hit in found
        ]
        return sorted(scored, key=lambda hit: -hit.score)


def _best(found: list[Hit], limit: int) -> list[Hit]:
    return sorted(found, key=lambda f: -f.score)[:limit]


def _bm25(
    terms: Sequence[str], counts: Counter[str], everything: Sequence[Counter[str]], average: float
) -> float:
    """Okapi BM25 with the usual k1 = 1.2 and b = 0.75."""
    score = 0.0
    for term in terms:
        having = sum(1 for other in everything if term in other)
        rarity = math.log(1 + (len(everything) - having + 0.5) / (having + 0.5))
        often = counts[term]
        score += rarity * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * counts.total() / (average or 1)))
    return score


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other) or 1.0)
