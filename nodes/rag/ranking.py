"""The order of what was found: several rankings made one, guides before records, current before outdated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import PurePosixPath

from nodes.rag.models import Hit
from nodes.rag.terms import terms
from nodes.rag.versions import Edition, edition, is_newer

# What a passage of a changelog or a decision counts, compared with one of a guide.
RECORDS_COUNT = 0.5
# The same of a document that its source puts behind the others.
BEHIND_COUNTS = 0.8
# The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009).
RRF = 60
# Only so many are compared with each other: their places are the ones that somebody sees.
COMPARED = 24
# Shared of two passages' runs of three words: copies with another date share more, other texts less.
SAME_TEXT = 0.7
SAME_PASSAGE_OF_VERSIONS = 0.2
_RUN = 3
_RECORDS = frozenset(
    str.split(
        "adr adrs archive archived archives changelog changelogs changes decision decisions history minutes "
        "news rfc rfcs"
    )
)
# 0007-use-sqlite.md, as decisions are numbered.
_NUMBERED = re.compile(r"\d{3,4}-[^\W\d]")


def guides_first(found: Sequence[Hit], wanted: Sequence[str], behind: Sequence[str] = ()) -> list[Hit]:
    """Best first; what records the past stands behind what says how things are, unless it is asked for.

    The store's order of equal scores changes with the limit, so the document decides between these.

    Args:
        behind: Globs of documents that stand behind the others, too.
    """
    scored = [replace(f, score=f.score * _counts(f.chunk.document, wanted, behind)) for f in found]
    return sorted(scored, key=lambda f: (-f.score, f.chunk.document, f.chunk.start))


def _counts(document: str, wanted: Sequence[str], behind: Sequence[str]) -> float:
    if is_record(document, wanted):
        return RECORDS_COUNT
    return BEHIND_COUNTS if any(fnmatchcase(document, glob) for glob in behind) else 1


def fuse(*rankings: Sequence[Hit]) -> list[Hit]:
    """One ranking of several by reciprocal ranks, a passage of each document before any second one.

    A document stands where its best passages put it: that two rankings agree on a document is worth
    more than that they agree on the very passage. Each chunk keeps its best score.
    """
    documents: dict[str, float] = {}
    points: dict[str, float] = {}
    best: dict[str, Hit] = {}
    for ranking in rankings:
        seen: set[str] = set()
        for position, item in enumerate(ranking, start=1):
            key, document = item.chunk.id, item.chunk.document
            points[key] = points.get(key, 0.0) + 1 / (RRF + position)
            if document not in seen:
                seen.add(document)
                documents[document] = documents.get(document, 0.0) + 1 / (RRF + len(seen))
            if key not in best or item.score > best[key].score:
                best[key] = item
    by_points = sorted(best.values(), key=lambda f: -points[f.chunk.id])
    return spread(sorted(by_points, key=lambda f: -documents[f.chunk.document]))


def weigh(by_words: Sequence[Hit], by_meaning: Sequence[Hit], *, weight: float, floor: float) -> list[Hit]:
    """One ranking of two by their scores, which must be comparable; a passage of each document first.

    Ranks alone forget that the first may be far ahead of the second, as one with the very name of a
    question is. A document's score is that of its best passage by words, and `weight` times that of
    its best by meaning; of one that is not among those by meaning, `floor`.
    """
    best: dict[str, Hit] = {}
    scores: dict[str, list[float]] = {}
    documents: dict[str, list[float]] = {}
    for column, ranking in enumerate((by_words, by_meaning)):
        for item in ranking:
            key, document = item.chunk.id, item.chunk.document
            for kept, name in ((scores, key), (documents, document)):
                pair = kept.setdefault(name, [0.0, floor])
                pair[column] = max(pair[column], item.score)
            if key not in best or item.score > best[key].score:
                best[key] = item

    def order(item: Hit) -> tuple[float, float, str, int]:
        words, meaning = documents[item.chunk.document]
        own = scores[item.chunk.id]
        found = -(words + weight * meaning), -(own[0] + weight * own[1])
        return *found, item.chunk.document, item.chunk.start

    return spread(sorted(best.values(), key=order))


def spread(found: Sequence[Hit]) -> list[Hit]:
    """The best passage of each document, then the second ones: one long page does not take all places."""
    turns: dict[str, int] = {}
    placed: list[tuple[int, int, Hit]] = []
    for rank, item in enumerate(found):
        turn = turns.get(item.chunk.document, 0)
        turns[item.chunk.document] = turn + 1
        placed.append((turn, rank, item))
    return [item for _, _, item in sorted(placed, key=lambda one: one[:2])]


def distinct(found: Iterable[Hit]) -> list[Hit]:
    """Without chunks whose text came before: copies of a page say nothing new."""
    seen: dict[str, Hit] = {}
    for item in found:
        seen.setdefault(" ".join(item.chunk.text.split()), item)
    return list(seen.values())


def current_first(found: Sequence[Hit], question: str) -> list[Hit]:
    """What the first ones say again, or say in an older version of the same document, goes behind them.

    Of two versions the newer takes the better place, unless the question names the older one. The
    first `COMPARED` are looked at, so the cost does not grow with what was found.
    """
    looked_at, rest = list(found[:COMPARED]), list(found[COMPARED:])
    runs = [_runs(item.chunk.text) for item in looked_at]
    editions = [edition(item.chunk.document) for item in looked_at]
    behind: set[int] = set()
    for later in range(len(looked_at)):
        for earlier in range(later):
            if behind.isdisjoint((earlier, later)):
                loser = _loser(editions, runs, earlier, later, question)
                if loser == earlier:
                    looked_at[earlier], looked_at[later] = looked_at[later], looked_at[earlier]
                    runs[earlier], runs[later] = runs[later], runs[earlier]
                    editions[earlier], editions[later] = editions[later], editions[earlier]
                if loser is not None:
                    behind.add(later)
    front = [item for index, item in enumerate(looked_at) if index not in behind]
    return [*front, *rest, *(looked_at[index] for index in sorted(behind))]


def _loser(
    editions: Sequence[Edition], runs: Sequence[frozenset[int]], earlier: int, later: int, question: str
) -> int | None:
    """Which of two passages says nothing that the other does not say better; None where both are worth it."""
    one, other = editions[earlier], editions[later]
    family = one.family == other.family and one != other
    if _likeness(runs[earlier], runs[later]) < (SAME_PASSAGE_OF_VERSIONS if family else SAME_TEXT):
        return None
    return earlier if is_newer(other, one, question) else later


def _runs(text: str) -> frozenset[int]:
    said = text.lower().split()
    return frozenset(hash(tuple(said[i : i + _RUN])) for i in range(max(1, len(said) - _RUN + 1)))


def _likeness(one: frozenset[int], other: frozenset[int]) -> float:
    """The Jaccard index of two sets."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def is_record(document: str, wanted: Sequence[str] = ()) -> bool:
    """True for a document that records the past, unless the question asks for such a thing."""
    return _records(document) and not _asked_records().intersection(wanted)


@cache
def _asked_records() -> frozenset[str]:
    return frozenset(form for name in _RECORDS for form in terms(name))


@lru_cache(maxsize=10_000)
def _records(document: str) -> bool:
    path = PurePosixPath(document)
    if any(folder.lower() in _RECORDS for folder in path.parts[:-1]) or _NUMBERED.match(path.name):
        return True
    # A guide may be called history.md; a file in capitals, or one that is called a changelog, is none.
    name = path.stem.lower()
    return name in _RECORDS if path.stem.isupper() else name in {"changelog", "changes", "news"}
