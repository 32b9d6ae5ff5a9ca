"""The index of a local source: searched by words and by meaning, and what it was made from.

The manifest is written after the rows it speaks of. A process that dies in between leaves
rows that no manifest names; the next run indexes those files again and replaces the rows.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import math
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from core.health import Health
from nodes.rag.errors import IndexBusy, SourceUnavailable
from nodes.rag.languages import DEFAULT
from nodes.rag.models import Chunk, Collection, Hit, Passage, remark
from nodes.rag.ports import ChunkStore, Embedder, Judge, Reranker
from nodes.rag.ranking import current_first, distinct, fuse, guides_first, spread, weigh
from nodes.rag.terms import asked, terms_of

CANDIDATES = 100
# A word with a digit in it and this many characters is the name of something, and chance does not find it.
_NAME_LETTERS = 4
# Passages that are judged.
_JUDGED = 3


@dataclass(frozen=True, slots=True)
class Nearness:
    """What the similarities of an embedder mean; each has a scale of its own.

    Args:
        floor: Cosine similarity below which a chunk has nothing to do with a question.
        weight: What similarity counts in the order of passages, beside the confidence of words.
        likely: Likelihood of an answer, as its judge gives it, from which passages are shown.
    """

    floor: float
    weight: float
    likely: float


class LocalRetriever:
    """Gives what the store finds by words (BM25) and by meaning, a passage of each document first.

    Neither says whether the best is any good: the best passage for "What is
    the capital of Peru?" still has a score. So the best by words must reach
    `min_score` or hold every word of the question, or none is shown. Words of
    the question that the index does not hold count for nothing, neither for a
    passage nor against it. Where there is a judge, it decides instead: it
    compares the question with the sentences and words of the best passages.

    Args:
        min_score: 0 to 1; see `confidence`.
        embedder: For the store's vectors; None: words alone.
        nearness: Of that embedder, which may fail then; None: what is nearer than `min_score` is shown.
        judge: Whether to show anything; None: the scores decide.
        by: "words", "meaning" or "both".
        reranker: Has the last word on the order; None: nobody.
        languages: In which languages the source's texts are, asked at each search.
    """

    def __init__(
        self,
        source: str,
        *,
        store: ChunkStore,
        min_score: float,
        embedder: Embedder | None = None,
        nearness: Nearness | None = None,
        judge: Judge | None = None,
        reranker: Reranker | None = None,
        languages: Callable[[], Sequence[str]] = lambda: (DEFAULT,),
        by: Literal["both", "words", "meaning"] = "both",
    ) -> None:
        self._source = source
        self._store = store
        self._min_score = min_score
        self._embedder = embedder
        self._nearness = nearness
        self._judge = judge
        self._reranker = reranker
        self._languages = languages
        self._by = by

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """At most `limit` passages, best first. The whole source is one right, and has no parts."""
        words = asked(query, self._languages())
        if not words:
            return []
        wanted, most = terms_of(words), max(CANDIDATES, limit)
        by_words, near = await asyncio.gather(
            self._by_words(wanted, most=most), self._near(query, wanted, most=most)
        )
        floor = self._nearness.floor if self._nearness else self._min_score
        by_meaning = [f for f in near if f.score >= floor]
        found = current_first(distinct(self._merged(by_words, by_meaning)), query)
        if not await self._worth_showing(query, words, found, (by_words, by_meaning, near)):
            return []
        if self._reranker is not None:
            found = current_first(spread(await self._reranker.rerank(query, found)), query)
        return [self._passage(f) for f in found[:limit]]

    async def _by_words(self, wanted: Sequence[str], *, most: int) -> list[Hit]:
        found = await self._store.find(wanted, limit=most) if self._by != "meaning" else []
        if not found:
            return []
        chunks = await self._store.size()
        return [Hit(f.chunk, confidence(f.score, chunks)) for f in guides_first(found, wanted)]

    async def _near(self, query: str, wanted: Sequence[str], *, most: int) -> list[Hit]:
        """What is near the question; nothing where the embedder may fail and does."""
        if self._embedder is None or self._by == "words":
            return []
        try:
            [vector] = await self._embedder.embed([query])
        except SourceUnavailable as error:
            if self._nearness is None:
                raise
            remark("searched_by_words", f"'{self._source}' was searched by words alone: {error.detail}.")
            return []
        return guides_first(await self._store.near(vector, limit=most), wanted)

    async def _worth_showing(
        self,
        query: str,
        words: Sequence[tuple[str, ...]],
        found: Sequence[Hit],
        rankings: tuple[Sequence[Hit], Sequence[Hit], Sequence[Hit]],
    ) -> bool:
        by_words, by_meaning, near = rankings
        if by_words and holds_all(by_words[0].chunk, words):
            return True
        if self._judge is not None and self._nearness is not None and near and found:
            if by_words and holds_a_name(by_words[0].chunk, words):
                return True
            judged = [item.chunk for item in found[:_JUDGED]]
            return await self._judge.likelihood(query, judged) >= self._nearness.likely
        return bool(by_meaning) or (bool(by_words) and by_words[0].score >= self._min_score)

    def _merged(self, by_words: Sequence[Hit], by_meaning: Sequence[Hit]) -> list[Hit]:
        if self._nearness is None or not (by_words and by_meaning):
            return fuse(by_words, by_meaning)
        weight, floor = self._nearness.weight, self._nearness.floor
        return weigh(by_words, by_meaning, weight=weight, floor=floor)

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
    return share_held(chunk, words) == 1


def share_held(chunk: Chunk, words: Sequence[tuple[str, ...]]) -> float:
    """Which share of the words of a question a chunk holds, 0 to 1."""
    held = set(chunk.terms.split())
    return sum(1 for forms in words if held.intersection(forms)) / len(words)


def holds_a_name(chunk: Chunk, words: Sequence[tuple[str, ...]]) -> bool:
    """True for a chunk with a name of the question that has digits in it, as numbers of orders have."""
    named = {f for forms in words for f in forms if len(f) >= _NAME_LETTERS and any(map(str.isdigit, f))}
    return bool(named) and not named.isdisjoint(chunk.terms.split())


LOCK_SECONDS = 30.0
MOST_UNREAD = 200
_POLL_SECONDS = 0.05
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A file as it was indexed. `problem` is set for a file that was left out, `notes` for what was of it."""

    root: str
    size: int
    mtime_ns: int
    seen_ns: int
    digest: str
    recipe: str
    chunks: int = 0
    problem: str = ""
    language: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of an index by document name, and the paths that `ingest` added by hand.

    Args:
        unread: Files of other kinds and why they are passed over, at most `MOST_UNREAD`.
        passed_over: How many of these there are.
    """

    files: dict[str, Record] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    unread: dict[str, str] = field(default_factory=dict)
    passed_over: int = 0

    @property
    def chunks(self) -> int:
        return sum(record.chunks for record in self.files.values())

    @property
    def documents(self) -> int:
        return sum(1 for record in self.files.values() if not record.problem)

    @property
    def skipped(self) -> dict[str, str]:
        return {name: record.problem for name, record in self.files.items() if record.problem}

    @property
    def partly(self) -> dict[str, str]:
        """What was not read of the documents that were."""
        return {name: f"partly read: {'; '.join(r.notes)}" for name, r in self.files.items() if r.notes}

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the documents, the most frequent first."""
        told = Counter(record.language for record in self.files.values() if record.language)
        return tuple(language for language, _ in told.most_common())


class ManifestFile:
    """Reads and writes the manifest of one index.

    Args:
        folder: Where the indexes stand.
        name: Name of the index.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.manifest.json"
        self._lock = folder / f"{name}.lock"
        self._known: tuple[str, Manifest] = ("", Manifest())

    def read(self) -> Manifest:
        """The manifest; an empty one where there is none that can be read, so that all is indexed anew."""
        generation = self.generation()
        # Every search asks for the languages: a file of thousands of records is read once per change.
        if generation and self._known[0] == generation:
            return self._known[1]
        found = self._read()
        self._known = (generation, found)
        return found

    def _read(self) -> Manifest:
        try:
            data: Any = orjson.loads(self._path.read_bytes())
            if data["version"] != _VERSION:
                return Manifest()
            files = {name: _record(record) for name, record in data["files"].items()}
            return Manifest(
                files, tuple(data["added"]), dict(data.get("unread", {})), int(data.get("passed_over", 0))
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Manifest()

    def there(self) -> bool:
        """True once something was indexed, be it nothing."""
        return self._path.exists()

    def generation(self) -> str:
        """Another text after each `write`, whichever process made it; "" before the first."""
        try:
            found = self._path.stat()
        except OSError:
            return ""
        return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"

    def languages(self, own: str = "") -> tuple[str, ...]:
        """The languages in whose stems the words of its index stand.

        Args:
            own: Of all its texts; "" where each one's own was found out.
        """
        return (own,) if own else tuple(dict.fromkeys([*self.read().languages, DEFAULT]))

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest in one step."""
        body = {
            "version": _VERSION,
            "added": list(manifest.added),
            "unread": manifest.unread,
            "passed_over": manifest.passed_over,
        }
        files = {name: asdict(record) for name, record in manifest.files.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}.draft")
        draft.write_bytes(orjson.dumps({**body, "files": files}, option=orjson.OPT_INDENT_2))
        draft.replace(self._path)

    @asynccontextmanager
    async def locked(self, *, seconds: float = LOCK_SECONDS) -> AsyncIterator[None]:
        """Keep other processes out.

        Raises:
            IndexBusy: Another process still has it after `seconds`.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await _flock(handle, seconds)
            yield
        finally:
            os.close(handle)  # the system drops the lock with it, also when the process dies


async def _flock(handle: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise IndexBusy(
                    "another process is indexing this source; wait for it to finish, or stop it"
                ) from None
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


def _record(data: dict[str, Any]) -> Record:
    return Record(**{**data, "notes": tuple(data.get("notes", ()))})


def index_name(source: str, flavour: str) -> str:
    """A file name for the index of `source`; another embedder (`flavour`) gives another index."""
    readable = re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-")[:40] or "source"
    digest = hashlib.sha256(f"{source}\0{flavour}".encode()).hexdigest()[:8]
    return f"{readable}-{digest}"
