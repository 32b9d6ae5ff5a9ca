"""The client of this module: search sources in a user's name, index local ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from core.access import Principal, may_use, usable
from core.errors import WaystationError
from core.events import Event
from core.health import Health, HealthState, healthy
from core.observability import retrieval_span, track_duration
from core.settings import nearest
from core.settings.book import Part
from nodes.rag.described import described, why_nothing
from nodes.rag.errors import NotIngestable, SourceNotFound
from nodes.rag.events import RetrievalDone
from nodes.rag.health import CHECK_SECONDS, SourceHealth
from nodes.rag.indexing import Indexer
from nodes.rag.models import (
    TOLD,
    UNFOUND,
    Chunk,
    DocumentInfo,
    IngestReport,
    Passage,
    Progress,
    RAGResponse,
    Remark,
    SourceInfo,
    SourceStats,
)
from nodes.rag.ports import IndexQueue
from nodes.rag.settings import RagSettings, SourceEntry
from nodes.rag.sharing import Sharing
from nodes.rag.source import Source, SourceCalls, interleave
from nodes.rag.upkeep import FileWatcher, IndexTasks, NoIndexQueue, update

WARM_AFTER_SECONDS = 1.5

_log = structlog.get_logger(__name__)


class RAGClient:
    """Searches the sources that a user may use, and keeps the local ones indexed.

    Args:
        sources: Which sources there are; a part, where they may change while the
            service runs. A new local one is indexed in the background.
        calls: How sources are asked; None: without a cache, as the defaults say.
        publish: Told of each retrieval.
        later: Who indexes in the background; None: this client itself.
        check_seconds: How long a health check waits for one source.
    """

    def __init__(
        self,
        sources: Mapping[str, Source] | Part[Mapping[str, Source]],
        settings: RagSettings,
        *,
        calls: SourceCalls | None = None,
        publish: Callable[[Event], None] = lambda _: None,
        later: IndexQueue | None = None,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._part: Part[Mapping[str, Source]] = Part.of(sources)
        self._part.on_change(adopted=self._adopt, retired=self._retired)
        self._seen = self._part.now
        self._opened: dict[int, Source] = {id(source): source for source in self._seen.values()}
        self._settings = settings
        self._calls = calls or SourceCalls(settings)
        self._publish = publish
        self._later = later or NoIndexQueue()
        self._health = SourceHealth(self._calls, seconds=check_seconds)
        self._indexing = IndexTasks()
        self._warming: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.sharing = Sharing(lambda: self._sources, every_s=settings.index_poll_s)

    async def aclose(self) -> None:
        """Stop indexing in the background; what was indexed stays."""
        running = [task for task in (self._warming, self._watching) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._indexing.aclose()
        await self.sharing.aclose()
        await asyncio.gather(*(source.aclose() for source in self._opened.values()), return_exceptions=True)

    @property
    def _sources(self) -> Mapping[str, Source]:
        return self._part.now

    def entries(self) -> Mapping[str, SourceEntry]:
        """Every configured source, whoever may use it."""
        return _entries(self._sources)

    async def discover(self, principal: Principal) -> list[SourceInfo]:
        """The sources that the user may search, with what each remote one shows to the user."""
        sources = self._sources
        mine = usable(principal, _entries(sources))
        return list(await asyncio.gather(*(self._describe(name, sources[name], principal) for name in mine)))

    async def query(
        self, text: str, *, sources: Sequence[str], principal: Principal, limit: int | None = None
    ) -> RAGResponse:
        """Ask all `sources` at once; one that fails or hangs does not keep the others from answering.

        Args:
            limit: Passages over all sources; None for the setting.

        Raises:
            SourceNotFound: One of `sources` does not exist or is not for this user.
        """
        names = list(dict.fromkeys(sources))
        chosen = {name: self._usable(name, principal) for name in names}
        if not names or not text.strip():
            return RAGResponse()
        wanted, began = limit or self._settings.limit, time.perf_counter()
        told: list[Remark] = []
        why: dict[str, str] = {}
        telling, saying = TOLD.set(told), UNFOUND.set(why)
        try:
            with track_duration("retrieval"), retrieval_span(top_k=wanted):
                answers = await asyncio.gather(
                    *(self._ask(n, s, text, principal, wanted) for n, s in chosen.items())
                )
        finally:
            TOLD.reset(telling)
            UNFOUND.reset(saying)
        found = [answer for answer in answers if not isinstance(answer, str)]
        reasons = [(n, a) for n, a in zip(names, answers, strict=True) if isinstance(a, str)]
        passages = [self._capped(passage) for passage in interleave(found)[:wanted]]
        self._publish(
            RetrievalDone(
                sources=tuple(names),
                passages=len(passages),
                failed=tuple(name for name, _ in reasons),
                duration_ms=round((time.perf_counter() - began) * 1000),
            )
        )
        nothing = tuple((name, why[name]) for name in names if name in why)
        return RAGResponse(tuple(passages), tuple(reasons), tuple(told), nothing)

    async def documents(self, source: str, *, principal: Principal) -> list[DocumentInfo]:
        """What the index of a source has, by name; nothing of one that is searched where it is.

        Raises:
            SourceNotFound: No such source, or it is not for this user.
        """
        found = self._usable(source, principal)
        if found.indexer is None:
            return []
        return await asyncio.to_thread(found.indexer.documents, found.shown_to(principal))

    async def chunks(
        self, source: str, document: str, *, principal: Principal, limit: int = 100
    ) -> list[Chunk]:
        """The first chunks of a document of a local source, as they are searched; none of any other.

        Raises:
            SourceNotFound: No such source, or it is not for this user.
        """
        found = self._usable(source, principal)
        shown = found.shown_to(principal)
        if found.store is None or not (shown is None or shown(document)):
            return []
        return await found.store.chunks_in(document, limit=limit)

    async def ingest(
        self,
        source: str,
        *,
        path: str | Path | None = None,
        progress: Progress | None = None,
        most_vectors: int | None = None,
        anew: bool = False,
    ) -> IngestReport:
        """Bring the index of a local source up to date, with its vectors.

        Args:
            path: A file or folder to add to the source for good, beside what is configured.
            anew: Read every file again, changed or not; searches go on meanwhile.
            most_vectors: Leave them to the service where more are missing; None: wait for all.

        Raises:
            SourceNotFound: No such source.
            NotIngestable: The source is not a local one, or `path` is not there.
            IndexBusy: Another process is indexing it.
            IndexWrittenElsewhere: Its index is shared, and written by another home.
        """
        found = self._sources.get(source)
        if found is None:
            raise SourceNotFound(self._unknown(source, list(self._sources)))
        indexer = found.indexer
        if indexer is None:
            raise NotIngestable(f"'{source}' is searched where it is; only local sources are indexed here")
        added = None if path is None else await asyncio.to_thread(_absolute, Path(path))
        if added is not None and found.store is not None:
            await found.store.open()  # a path that cannot be indexed is not remembered either
        async with found.written():
            report = await indexer.update(add=added, progress=progress, anew=anew)
            return await self._vectored(source, found, report, progress, most_vectors, anew=anew)

    async def _vectored(
        self,
        source: str,
        found: Source,
        report: IngestReport,
        progress: Progress | None,
        most_vectors: int | None,
        *,
        anew: bool,
    ) -> IngestReport:
        now = self._sources.get(source)
        if now is not None and now is not found and now.indexer is not None:
            # Its entry changed meanwhile: what was asked for is the index of the entry of now.
            return await self.ingest(source, progress=progress, most_vectors=most_vectors, anew=anew)
        if found.vectors is not None:
            await found.vectors.fill(progress, most=most_vectors)
        return report

    async def prepare(self, progress: Progress | None = None, *, behind: bool = False) -> list[IngestReport]:
        """Index every enabled local source whose files changed; a source that cannot be indexed is reported.

        Costs a look at each file's size and time when nothing changed.

        Args:
            behind: An index that is there and was made in another way is made anew in the background.
        """
        reports = []
        await self.sharing.once()
        for name, indexer in self._local().items():
            if behind and await indexer.outdated():
                self._indexing.begin(name, self._index(name, indexer))
                continue
            reports.append(await update(name, indexer, progress))
        return reports

    async def refresh(self, progress: Progress | None = None) -> list[IngestReport]:
        """`prepare`, where `rag.refresh` asks for it: files change while the service runs."""
        return await self.prepare(progress) if self._settings.refresh else []

    def _adopt(self, sources: Mapping[str, Source]) -> None:
        """Index local sources that are new or have changed, while turns go on."""
        before, self._seen = self._seen, sources
        self._opened |= {id(source): source for source in sources.values()}
        for name, source in sources.items():
            if source.indexer is not None and source.entry.enabled and source is not before.get(name):
                self._indexing.begin(name, self._index(name, source.indexer))

    async def _retired(self, _: Mapping[str, Source]) -> None:
        living = list(self._part.living())
        self._calls.retain({name for known in living for name in known})
        used = {id(source) for known in living for source in known.values()}
        for gone in self._opened.keys() - used:
            await self._opened.pop(gone).aclose()

    async def _index(self, name: str, indexer: Indexer) -> None:
        if not await self.sharing.of(name) or await self._left_to_others(name):
            return
        await update(name, indexer)
        source = self._sources.get(name)
        if source is not None and source.vectors is not None and source.indexer is indexer:
            source.vectors.start()

    async def _left_to_others(self, name: str) -> bool:
        try:
            return await self._later.index(name)
        except Exception:  # noqa: BLE001 - a queue whose database is away must not leave it without its index
            _log.exception("indexing_not_queued", source=name)
            return False

    def warm_soon(self) -> None:
        """`warm` in the background: the library takes seconds to import, and the start comes first."""
        self._warming = asyncio.create_task(self._warm_later())

    async def _warm_later(self) -> None:
        await asyncio.sleep(WARM_AFTER_SECONDS)
        await self.warm()

    def watch_soon(self) -> None:
        """Take over files that change, unless `rag.refresh` is off; the start comes first."""
        if self._settings.refresh:
            self._watching = asyncio.create_task(self._watch(), name="sources watcher")

    async def _watch(self) -> None:
        await asyncio.sleep(WARM_AFTER_SECONDS)
        await FileWatcher(self._local).run()

    def _local(self) -> Mapping[str, Indexer]:
        """The sources whose index is made here."""
        return {
            name: source.indexer
            for name, source in self._sources.items()
            if source.indexer is not None and source.writes and source.entry.enabled
        }

    async def warm(self) -> None:
        """Open the local indexes, which takes seconds, so that no search has to."""
        for name, source in self._sources.items():
            if source.store is None or not source.entry.enabled:
                continue
            try:
                await source.store.open()
                if source.vectors is not None and source.writes:
                    source.vectors.start()
            except WaystationError as error:
                _log.warning("index_not_opened", source=name, code=error.code, reason=error.detail)

    async def stats(self) -> list[SourceStats]:
        """What the index holds of each source."""
        found = []
        for name, source in self._sources.items():
            found.append(await asyncio.to_thread(source.stats, name))
        return found

    async def check(self) -> Health:
        """Degraded while some enabled source does not work or is left alone, failed when none works."""
        enabled = {name: source for name, source in self._sources.items() if source.entry.enabled}
        return await self._health.check(enabled) if enabled else healthy(sources={})

    async def _ask(
        self, name: str, source: Source, text: str, principal: Principal, limit: int
    ) -> list[Passage] | str:
        """Passages of one source, or the reason why there are none."""
        with retrieval_span(name, top_k=limit) as span:
            try:
                found = await self._calls.passages(name, source, text, principal=principal, limit=limit)
            except WaystationError as error:
                code, reason = error.code, error.detail
            except Exception as error:  # noqa: BLE001  # one source's fault must not take the others down
                _log.exception("source_fault", source=name)
                code, reason = "internal", f"an internal fault ({type(error).__name__})"
            else:
                span.set(passages=len(found))
                if found or (source.indexer is not None and source.indexer.manifest.holds_text()):
                    return found
                return await self._why_nothing(source, principal)
            span.error(code)
        _log.warning("source_failed", source=name, code=code, reason=reason)
        return reason

    async def _why_nothing(self, source: Source, principal: Principal) -> list[Passage] | str:
        """As `why_nothing`; an index that cannot work for want of its extra is not just not made yet."""
        health = healthy() if source.store is None else await source.store.check(expected=0)
        if health.state is HealthState.FAILED:
            return health.reason
        return await asyncio.to_thread(why_nothing, source, principal)

    async def _describe(self, name: str, source: Source, principal: Principal) -> SourceInfo:
        info = await asyncio.to_thread(described, name, source, principal)
        try:
            found = await self._calls.collections(name, source, principal=principal)
        except WaystationError as error:
            return replace(info, problem=error.detail)
        return replace(info, collections=tuple(found))

    def _usable(self, name: str, principal: Principal) -> Source:
        """A source that the user may not use is reported like one that does not exist."""
        source = self._sources.get(name)
        if source is None or not may_use(principal, source.entry):
            raise SourceNotFound(self._unknown(name, list(usable(principal, self.entries()))))
        return source

    @staticmethod
    def _unknown(name: str, known: Sequence[str]) -> str:
        near = nearest(name, known)
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
        return f"no source '{name}'; {hint}"

    def _capped(self, passage: Passage) -> Passage:
        most = self._settings.passage_chars
        if len(passage.text) <= most:
            return passage
        end = passage.start + most if passage.end else 0
        return replace(passage, text=passage.text[:most], end=end)


def _entries(sources: Mapping[str, Source]) -> dict[str, SourceEntry]:
    return {name: source.entry for name, source in sources.items()}


def _absolute(path: Path) -> str:
    if not path.exists():
        raise NotIngestable(f"there is no file or folder '{path.name}' to index")
    return str(path.resolve())
