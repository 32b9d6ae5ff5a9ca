"""Bring the index of one local source up to date with its files."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

from core.languages import DEFAULT, language_of, stems_of
from nodes.rag.chunking import chunk_document
from nodes.rag.errors import SourceUnavailable
from nodes.rag.files import Listing, SourceFile, exists, list_files, not_there
from nodes.rag.manifest import ManifestFile
from nodes.rag.models import (
    MOST_UNREAD,
    Chunk,
    DocumentInfo,
    IngestReport,
    Manifest,
    Progress,
    Record,
    SourceStats,
)
from nodes.rag.ports import ChunkStore, Embedder
from nodes.rag.reading import Extractor, NotText, TextCache, read_document
from nodes.rag.reading.extraction import SECONDS
from nodes.rag.rights import Shown
from nodes.rag.writing import Batch, Writing

# A file that changed this shortly before it was read may change again within the same time stamp.
_RACY_NS = 2_000_000_000
# Raise it when reading or chunking changes, so that everything is indexed anew.
_FORMAT = "7"
# The release whose stems stand in every index that names none.
_STEMS = "3.1"
# Files that a sentence names.
_NAMED = 3
NOTHING = "there is no document in it"


Rebuild = Callable[["Indexer", Manifest, Progress | None], Awaitable[IngestReport]]


@dataclass(slots=True)
class _Plan:
    """What has to be done: files to index, and documents to drop."""

    kept: dict[str, Record]
    changed: list[tuple[SourceFile, str]]
    removed: list[str]


class Indexer:
    """Indexes the files of one source; only what changed is read again.

    Args:
        roots: Absolute folders, files or globs.
        embedder: For vectors beside the words; None for words alone.
        max_file_bytes: Of a text file; of any other document, `max_document_bytes`.
        document_seconds: For one document that is no text file.
        language: Of all its texts; "" where each one's own is found out.
        kept: What was taken out of documents before; None: each is read.
        rebuilding: Makes the index anew beside the old one; None: it is changed where it stands.
        model: Whose vectors are in the rows, "" for none; None: nobody looks, it is searched by words.
    """

    def __init__(
        self,
        source: str,
        roots: Sequence[str],
        *,
        store: ChunkStore,
        manifest: ManifestFile,
        chunk_tokens: int,
        max_file_bytes: int,
        max_document_bytes: int = 50_000_000,
        document_seconds: float = SECONDS,
        embedder: Embedder | None = None,
        language: str = "",
        kept: TextCache | None = None,
        rebuilding: Rebuild | None = None,
        model: str | None = None,
    ) -> None:
        self._source = source
        self._roots = tuple(roots)
        self._store = store
        self.manifest = manifest
        self._chunk_tokens = chunk_tokens
        self._max_bytes = max_file_bytes
        self._max_document_bytes = max_document_bytes
        self._extractor = Extractor(seconds=document_seconds, kept=kept)
        self._kept = kept
        self._embedder = embedder
        self._language = language
        limits = f"{max_file_bytes}/{max_document_bytes}/{document_seconds:g}"
        self._rebuilding = rebuilding
        self._model = model
        self._being_made = False
        self._differing = ""
        stems = "" if stems_of() == _STEMS else f"/stems {stems_of()}"
        self._recipe = f"{_FORMAT}/{chunk_tokens}/{limits}/{language}{stems}"

    async def update(
        self, *, add: str | None = None, progress: Progress | None = None, anew: bool = False
    ) -> IngestReport:
        """Index what is new or changed, drop what is gone. Safe to interrupt at any point.

        Args:
            add: One more root, remembered for every later update.
            anew: Read every file again, changed or not, as an index is that was made in another way.
                Searches go on in the old one until all of the new one is there.

        Raises:
            IndexBusy: Another process is at it and does not finish.
            SourceUnavailable: The embedder does not answer.
        """
        async with self.manifest.locked():
            before = self.manifest.read()
            others = await self._has_others_rows(before)
            if add is not None and add not in (*self._roots, *before.added):
                known = before if self.manifest.there() else self.empty()
                before = replace(known, added=(*before.added, add))
                # Rules of access hold for names below it: it is known before the first of its rows is there.
                self.manifest.write(before)
            anew = anew or others
            if self._rebuilding is not None and (anew or self._outdated(before)) and self._all_there(before):
                return await self._anew(self._rebuilding, before, progress)
            before = self._of_one_model(before)
            listing = await asyncio.to_thread(list_files, (*self._roots, *before.added), self.manifest.home)
            unread = dict(list(listing.unread.items())[:MOST_UNREAD])
            before = replace(before, unread=unread, passed_over=len(listing.unread))
            plan = await asyncio.to_thread(self._plan, before, listing, anew=anew)
            if self._model is None and plan.changed:
                # These come without vectors: who wants them later has none of a model.
                before = replace(before, model="")
            try:
                after = await self._carry_out(plan, before, progress)
            finally:
                self._extractor.close()
            return self._report(plan, after, listing)

    def empty(self, added: Sequence[str] = ()) -> Manifest:
        """The manifest of an index of this source in which nothing is yet."""
        return Manifest(added=tuple(added), model=self._model or "")

    async def _anew(self, rebuild: Rebuild, before: Manifest, progress: Progress | None) -> IngestReport:
        self._being_made = True
        try:
            return await rebuild(self, before, progress)
        finally:
            self._being_made = False

    def onto(self, store: ChunkStore, manifest: ManifestFile) -> Indexer:
        """The same for another index of the source, that is made where it stands."""
        other = copy(self)
        other._store, other.manifest, other._rebuilding = store, manifest, None
        # What was taken out of a document is kept as long as the old index has it.
        return other

    async def outdated(self) -> bool:
        """True where `update` would make an index anew that is searched: it was made in another way."""
        before = await asyncio.to_thread(self.manifest.read)
        return self._rebuilding is not None and self._outdated(before) and self._all_there(before)

    def _outdated(self, before: Manifest) -> bool:
        if self.manifest.there() and not self.fits(before):
            return True
        return any(r.chunks and r.recipe != self._recipe for r in before.files.values())

    def fits(self, manifest: Manifest) -> bool:
        """Whether vectors of questions and those of this index are of one model."""
        return self._model is None or manifest.model == self._model

    @property
    def comparable(self) -> bool:
        """Whether the vectors that the index has now, where it has any, are of the model of its entry."""
        if self._differing and self._differing == self.manifest.generation():
            return False
        return self.fits(self.manifest.read()) or not self.manifest.there()

    def differs(self) -> None:
        """The endpoint was found to make other vectors under the name of its model.

        It is made anew when somebody says so: an endpoint that answers now with one model and now with
        another would have it made again and again.
        """
        self._differing = self.manifest.generation()

    async def _has_others_rows(self, before: Manifest) -> bool:
        """Whether whoever began the index was killed before its first manifest, and had another model."""
        return not self.fits(before) and not self.manifest.there() and await self._store.size() > 0

    def _of_one_model(self, before: Manifest) -> Manifest:
        if self.fits(before):
            return before
        if not self.manifest.there():
            return replace(before, model=self._model or "")
        reason = f"{self._gone(before)}; it is indexed with the other model when that is there"
        raise SourceUnavailable(f"the index has vectors of another model: {reason}")

    def _all_there(self, before: Manifest) -> bool:
        """Whether all can be read again; what was in a folder that is gone, the old index alone has."""
        wanted = {*self._roots, *before.added}
        return all(exists(root) for root in {r.root for r in before.files.values()} if root in wanted)

    def roots(self) -> tuple[str, ...]:
        """Every folder, file or glob that the source consists of now."""
        return (*self._roots, *self.manifest.read().added)

    async def stale(self) -> bool:
        """True when `update` would find something to do. Costs a look at each file's size and time."""
        return not self._being_made and await asyncio.to_thread(self._stale)

    def _stale(self) -> bool:
        before = self.manifest.read()
        listing = list_files((*self._roots, *before.added), self.manifest.home)
        plan = self._plan(before, listing)
        # Kept and yet not the same: it was seen so soon after its change that it has to be read each time.
        same = self.fits(before) and plan.kept == before.files and len(listing.unread) == before.passed_over
        return not (same and self.manifest.there()) or bool(plan.changed)

    def stats(self, shown: Shown | None = None) -> SourceStats:
        """What the index holds of the documents that are shown; None: of all."""
        manifest = self.manifest.read().seen(shown)
        return SourceStats(
            self._source,
            "local",
            files=manifest.documents,
            chunks=manifest.chunks,
            skipped=len(manifest.skipped) + manifest.passed_over,
            size_bytes=sum(record.size for record in manifest.files.values() if not record.problem),
            reasons=dict(
                list({**manifest.skipped, **manifest.unread, **manifest.partly}.items())[:MOST_UNREAD]
            ),
            problem=self._problem(manifest),
            indexed=self.manifest.there(),
        )

    def documents(self, shown: Shown | None = None) -> list[DocumentInfo]:
        """Every document that is shown by name, and behind them what was passed over."""
        manifest = self.manifest.read().seen(shown)
        found = [
            DocumentInfo(
                name,
                record.chunks,
                record.size,
                record.mtime_ns / 1e9,
                record.language,
                record.problem,
                tuple(record.notes),
            )
            for name, record in sorted(manifest.files.items())
        ]
        return found + [DocumentInfo(name, problem=why) for name, why in sorted(manifest.unread.items())]

    def _problem(self, manifest: Manifest) -> str:
        """Why nothing of the source can be found; "" where something can, or nobody has looked yet."""
        if manifest.chunks or not self.manifest.there():
            return ""
        why = {**manifest.skipped, **manifest.unread}
        if not why:
            gone = self._gone(manifest)
            return f"{gone}; {NOTHING}" if gone else NOTHING
        named = ", ".join(f"'{name}' ({reason})" for name, reason in list(why.items())[:_NAMED])
        count = len(manifest.skipped) + manifest.passed_over
        more = f", and {count - _NAMED} more" if count > _NAMED else ""
        return f"nothing in it can be read: {named}{more}"

    def _gone(self, manifest: Manifest) -> str:
        """Folders and files of the source that are not there, in words."""
        return "; ".join(not_there(root) for root in (*self._roots, *manifest.added) if not exists(root))

    def _plan(self, before: Manifest, listing: Listing, *, anew: bool = False) -> _Plan:
        plan = _Plan({}, [], [])
        for name, file in listing.files.items():
            record = None if anew else before.files.get(name)
            if record and record.recipe == self._recipe and self._untouched(record, file):
                plan.kept[name] = replace(record, root=file.root)
                continue
            digest = _digest(file.path)
            if record and record.recipe == self._recipe and record.digest == digest:
                touched = _record(file, digest, self._recipe, record.chunks, record.problem)
                plan.kept[name] = replace(touched, language=record.language, notes=record.notes)
            else:
                plan.changed.append((file, digest))
        for name, record in before.files.items():
            if name in listing.files:
                continue
            # A folder that is not there may be a disk that is not mounted: keep what came from it.
            if record.root in listing.missing:
                plan.kept[name] = record
            else:
                plan.removed.append(name)
        return plan

    @staticmethod
    def _untouched(record: Record, file: SourceFile) -> bool:
        same = (record.size, record.mtime_ns) == (file.size, file.mtime_ns)
        return same and file.mtime_ns < record.seen_ns - _RACY_NS

    async def _carry_out(self, plan: _Plan, before: Manifest, progress: Progress | None) -> Manifest:
        # What is read again is found by its old passages, and told of so, until the new ones are there.
        again = [file.document for file, _ in plan.changed if file.document in before.files]
        files = {name: before.files[name] for name in [*plan.removed, *again]} | plan.kept
        if plan.removed:
            await self._store.replace(plan.removed, [])
            files = {name: record for name, record in files.items() if name not in set(plan.removed)}
        async with Writing(self._flush, replace(before, files=files)) as writing:
            batch = Batch()
            for index, (file, digest) in enumerate(plan.changed):
                if progress:
                    progress(index, len(plan.changed), file.document)
                record, chunks = await asyncio.to_thread(self._read, file, digest)
                batch.records[file.document] = record
                batch.chunks.extend(chunks)
                if batch.full(embedded=self._embedder is not None):
                    await writing.take(batch)
                    batch = Batch()
            await writing.take(batch)
            after = await writing.done()
        if plan.changed or plan.removed:
            await self._store.tidy()
            await asyncio.to_thread(self._forget, before, after)
        if progress and plan.changed:
            progress(len(plan.changed), len(plan.changed), "")
        return after

    def _forget(self, before: Manifest, after: Manifest) -> None:
        """What is in no document any longer is not kept either."""
        still = {record.digest for record in after.files.values()}
        for record in before.files.values():
            if self._kept is not None and record.digest not in still:
                self._kept.forget(record.digest)

    async def _flush(self, batch: Batch, manifest: Manifest) -> Manifest:
        """Rows first, then the manifest that speaks of them."""
        if batch.records:
            vectors = None
            if self._embedder and batch.chunks:
                vectors = await self._embedder.embed([f"{c.title}\n{c.text}" for c in batch.chunks])
            await self._store.replace(list(batch.records), batch.chunks, vectors)
        after = replace(manifest, files=manifest.files | batch.records)
        if after != self.manifest.read() or not self.manifest.there():
            self.manifest.write(after)
        return after

    def _read(self, file: SourceFile, digest: str) -> tuple[Record, list[Chunk]]:
        try:
            read = read_document(
                file.path,
                max_bytes=self._max_bytes,
                extractor=self._extractor,
                max_document_bytes=self._max_document_bytes,
                digest=digest,
            )
        except NotText as reason:
            return _record(file, digest, self._recipe, 0, str(reason)), []
        language = self._language or language_of(read.text) or DEFAULT
        chunks = chunk_document(
            file.document,
            read.text,
            chunk_tokens=self._chunk_tokens,
            language=language,
            kind=read.kind,
            places=read.places,
        )
        problem = "" if chunks else "it has no words"
        record = _record(file, digest, self._recipe, len(chunks), problem)
        return replace(record, language=language, notes=read.notes), chunks

    def _report(self, plan: _Plan, after: Manifest, listing: Listing) -> IngestReport:
        return IngestReport(
            source=self._source,
            files=after.documents,
            changed=sum(1 for file, _ in plan.changed if not after.files[file.document].problem),
            removed=len(plan.removed),
            chunks=after.chunks,
            skipped=after.skipped,
            ignored=listing.ignored,
            unread=after.unread,
            problems=tuple(not_there(root) for root in listing.missing if root in self._roots),
        )


def _record(file: SourceFile, digest: str, recipe: str, chunks: int, problem: str) -> Record:
    return Record(file.root, file.size, file.mtime_ns, time.time_ns(), digest, recipe, chunks, problem)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""  # reading it will say why
