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
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from core.health import Health
from nodes.rag.errors import IndexBusy
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
# The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009).
_RRF = 60


@cache
def _asked_records() -> frozenset[str]:
    return frozenset(form for name in _RECORDS for form in terms(name))


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
    return _records(document) and not _asked_records().intersection(wanted)


@lru_cache(maxsize=10_000)
def _records(document: str) -> bool:
    path = PurePosixPath(document)
    if any(folder.lower() in _RECORDS for folder in path.parts[:-1]) or _NUMBERED.match(path.name):
        return True
    # A guide may be called history.md; a file in capitals, or one that is called a changelog, is none.
    name = path.stem.lower()
    return name in _RECORDS if path.stem.isupper() else name in {"changelog", "changes", "news"}


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
