"""Search the index of a local source: by words, and by meaning where there is an embedder."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from core.health import Health
from nodes.rag.languages import DEFAULT
from nodes.rag.models import Chunk, Collection, Hit, Passage
from nodes.rag.ports import ChunkStore, Embedder
from nodes.rag.terms import asked, terms, terms_of

CANDIDATES = 50
# What a passage of a changelog or a decision counts, compared with one of a guide.
RECORDS_COUNT = 0.5
_RECORDS = frozenset(
    str.split(
        "adr adrs archive archived archives changelog changelogs changes decision decisions history minutes "
        "news rfc rfcs"
    )
)
# 0007-use-sqlite.md, as decisions are numbered.
_NUMBERED = re.compile(r"\d{3,4}-[^\W\d]")
_ASKED_RECORDS = frozenset(form for name in _RECORDS for form in terms(name))
# The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009).
_RRF = 60


class LocalRetriever:
    """Gives what the store finds in the store's own order (BM25), a passage of each document first.

    BM25 says what is best, not whether it is any good: the best passage for
    "What is the capital of Peru?" still has a score. So the best one must reach
    `min_score` or hold every word of the question, or none is shown. Words of
    the question that the index does not hold count for nothing, neither for a
    passage nor against it.

    Args:
        min_score: 0 to 1; see `confidence`.
        languages: In which languages the source's texts are, asked at each search.
    """

    def __init__(
        self,
        source: str,
        *,
        store: ChunkStore,
        min_score: float,
        embedder: Embedder | None = None,
        languages: Callable[[], Sequence[str]] = lambda: (DEFAULT,),
    ) -> None:
        self._source = source
        self._store = store
        self._min_score = min_score
        self._embedder = embedder
        self._languages = languages

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """At most `limit` passages, best first. The whole source is one right, and has no parts."""
        words = asked(query, self._languages())
        if not words:
            return []
        ranked = await self._by_words(words, most=max(CANDIDATES, limit))
        if self._embedder:
            [vector] = await self._embedder.embed([query])
            near = await self._store.near(vector, limit=max(CANDIDATES, limit))
            ranked = merge(ranked, [f for f in near if f.score >= self._min_score])
        return [self._passage(f) for f in spread(distinct(ranked))[:limit]]

    async def _by_words(self, words: Sequence[tuple[str, ...]], *, most: int) -> list[Hit]:
        wanted = terms_of(words)
        found = await self._store.find(wanted, limit=most)
        if not found:
            return []
        ranked = guides_first(found, wanted)
        chunks = await self._store.size()
        scored = [Hit(f.chunk, confidence(f.score, chunks)) for f in ranked]
        good = scored[0].score >= self._min_score or holds_all(scored[0].chunk, words)
        return scored if good else []

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        return ()

    async def check(self) -> Health:
        return await self._store.check(expected=0)

    def _passage(self, found: Hit) -> Passage:
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


def confidence(score: float, chunks: int) -> float:
    """A BM25 score as 0 to 1: one half is what a word is worth that a single chunk of the index holds.

    So a number means about the same in a small index and in a large one.
    """
    rarest = math.log(1 + (max(chunks, 1) - 0.5) / 1.5)
    return score / (score + rarest)


def holds_all(chunk: Chunk, words: Sequence[tuple[str, ...]]) -> bool:
    """True for a chunk with every word of the question: common words alone give a low score."""
    held = set(chunk.terms.split())
    return all(held.intersection(forms) for forms in words)


def guides_first(found: Sequence[Hit], wanted: Sequence[str]) -> list[Hit]:
    """Best first; what records the past stands behind what says how things are, unless it is asked for.

    The store's order of equal scores changes with the limit, so the document decides between these.
    """
    scored = [
        Hit(f.chunk, f.score * (RECORDS_COUNT if is_record(f.chunk.document, wanted) else 1)) for f in found
    ]
    return sorted(scored, key=lambda f: (-f.score, f.chunk.document, f.chunk.start))


def spread(found: Sequence[Hit]) -> list[Hit]:
    """The best passage of each document, then the second ones: one long page does not take all places."""
    turns: dict[str, int] = {}
    placed: list[tuple[int, int, Hit]] = []
    for rank, item in enumerate(found):
        turn = turns.get(item.chunk.document, 0)
        turns[item.chunk.document] = turn + 1
        placed.append((turn, rank, item))
    return [item for _, _, item in sorted(placed, key=lambda one: one[:2])]


def merge(*rankings: Sequence[Hit]) -> list[Hit]:
    """One ranking of several by reciprocal rank; each chunk keeps its best score."""
    points: dict[str, float] = {}
    best: dict[str, Hit] = {}
    for ranking in rankings:
        for position, item in enumerate(ranking, start=1):
            key = item.chunk.id
            points[key] = points.get(key, 0.0) + 1 / (_RRF + position)
            if key not in best or item.score > best[key].score:
                best[key] = item
    return sorted(best.values(), key=lambda f: -points[f.chunk.id])


def distinct(found: Iterable[Hit]) -> list[Hit]:
    """Without chunks whose text came before: copies of a page say nothing new."""
    seen: dict[str, Hit] = {}
    for item in found:
        seen.setdefault(_body(item.chunk), item)
    return list(seen.values())


def _body(chunk: Chunk) -> str:
    return " ".join(chunk.text.split())


def is_record(document: str, wanted: Sequence[str] = ()) -> bool:
    """True for a document that records the past, unless the question asks for such a thing."""
    return _records(document) and not _ASKED_RECORDS.intersection(wanted)


@lru_cache(maxsize=10_000)
def _records(document: str) -> bool:
    path = PurePosixPath(document)
    if any(folder.lower() in _RECORDS for folder in path.parts[:-1]) or _NUMBERED.match(path.name):
        return True
    # A guide may be called history.md; a file in capitals, or one that is called a changelog, is none.
    name = path.stem.lower()
    return name in _RECORDS if path.stem.isupper() else name in {"changelog", "changes", "news"}
