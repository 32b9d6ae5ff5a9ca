"""The client of this module: search sources in a user's name, index local ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import structlog

from core.access import Principal, may_use, usable
from core.errors import WaystationError
from core.health import Health, HealthState, degraded, failed, healthy
from core.observability import track_duration
from core.settings import nearest
from nodes.rag.errors import NotIngestable, SourceNotFound
from nodes.rag.indexing import Indexer
from nodes.rag.models import IngestReport, Passage, Progress, RAGResponse, SourceInfo, SourceStats
from nodes.rag.ports import ChunkStore, Retriever
from nodes.rag.settings import RagSettings
from nodes.rag.sources import HttpSource, SourceEntry

CHECK_SECONDS = 3.5
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is served. `indexer` and `store` are set for a local one."""

    entry: SourceEntry
    retriever: Retriever
    indexer: Indexer | None = None
    store: ChunkStore | None = None


class RAGClient:
    """Searches the sources that a user may use, and keeps the local ones indexed.

    Args:
        check_seconds: How long a health check waits for one source.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        settings: RagSettings,
        *,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._sources = dict(sources)
        self._settings = settings
        self._check_seconds = check_seconds

    def entries(self) -> Mapping[str, SourceEntry]:
        """Every configured source, whoever may use it."""
        return {name: source.entry for name, source in self._sources.items()}

    async def discover(self, principal: Principal) -> list[SourceInfo]:
        """The sources that the user may search, with what each remote one shows to the user."""
        mine = usable(principal, self.entries())
        return list(await asyncio.gather(*(self._describe(name, principal) for name in mine)))

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
        for name in names:
            self._usable(name, principal)
        if not names or not text.strip():
            return RAGResponse()
        wanted = limit or self._settings.limit
        with track_duration("retrieval"):
            answers = await asyncio.gather(*(self._ask(n, text, principal, wanted) for n in names))
        found = [answer for answer in answers if not isinstance(answer, str)]
        reasons = [(n, a) for n, a in zip(names, answers, strict=True) if isinstance(a, str)]
        passages = [self._capped(passage) for passage in interleave(found)[:wanted]]
        return RAGResponse(tuple(passages), tuple(reasons))

    async def ingest(
        self, source: str, *, path: str | Path | None = None, progress: Progress | None = None
    ) -> IngestReport:
        """Bring the index of a local source up to date.

        Args:
            path: A file or folder to add to the source for good, beside what is configured.

        Raises:
            SourceNotFound: No such source.
            NotIngestable: The source is not a local one, or `path` is not there.
            IndexBusy: Another process is indexing it.
        """
        if source not in self._sources:
            raise SourceNotFound(self._unknown(source, list(self._sources)))
        indexer = self._sources[source].indexer
        if indexer is None:
            raise NotIngestable(f"'{source}' is searched where it is; only local sources are indexed here")
        if path is None:
            return await indexer.update(progress=progress)
        added = await asyncio.to_thread(_absolute, Path(path))
        return await indexer.update(add=added, progress=progress)

    async def prepare(self, progress: Progress | None = None) -> list[IngestReport]:
        """Index every enabled local source whose files changed; a source that cannot be indexed is reported.

        Costs a look at each file's size and time when nothing changed.
        """
        reports = []
        for name, source in self._sources.items():
            if source.indexer is None or not source.entry.enabled:
                continue
            try:
                reports.append(await source.indexer.update(progress=progress))
            except WaystationError as error:
                _log.warning("source_not_indexed", source=name, code=error.code, reason=error.detail)
                reports.append(IngestReport(name, problems=(error.detail,)))
        return reports

    async def warm(self) -> None:
        """Open the local indexes, which takes seconds, so that no search has to."""
        for name, source in self._sources.items():
            if source.store is None or not source.entry.enabled:
                continue
            try:
                await source.store.open()
            except WaystationError as error:
                _log.warning("index_not_opened", source=name, code=error.code, reason=error.detail)

    async def stats(self) -> list[SourceStats]:
        """What the index holds of each source."""
        found = []
        for name, source in self._sources.items():
            if source.indexer:
                found.append(await asyncio.to_thread(source.indexer.stats))
            else:
                found.append(SourceStats(name, source.entry.type))
        return found

    async def check(self) -> Health:
        """Degraded while some enabled source cannot answer, failed when none can."""
        names = [name for name, source in self._sources.items() if source.entry.enabled]
        if not names:
            return healthy(sources=0)
        found = dict(zip(names, await asyncio.gather(*map(self._check, names)), strict=True))
        bad = {name: h for name, h in found.items() if h.state is not HealthState.HEALTHY}
        details = {name: h.as_json() for name, h in found.items()}
        if not bad:
            return healthy(sources=details)
        reason = "; ".join(f"{name}: {h.reason}" for name, h in bad.items())
        return (failed if len(bad) == len(found) else degraded)(reason, sources=details)

    async def _ask(self, name: str, text: str, principal: Principal, limit: int) -> list[Passage] | str:
        """Passages of one source, or the reason why there are none."""
        retriever, seconds = self._sources[name].retriever, self._patience(name)
        try:
            async with asyncio.timeout(seconds):
                return list(await retriever.search(text, limit=limit, as_user=principal.id))
        except TimeoutError:
            reason = f"no answer within {seconds:g} s"
        except WaystationError as error:
            reason = error.detail
        except Exception as error:  # noqa: BLE001  # one source's fault must not take the others down
            _log.exception("source_fault", source=name)
            reason = f"an internal fault ({type(error).__name__})"
        _log.warning("source_failed", source=name, reason=reason)
        return reason

    async def _describe(self, name: str, principal: Principal) -> SourceInfo:
        source = self._sources[name]
        info = SourceInfo(
            name=name,
            type=source.entry.type,
            display_name=source.entry.display_name or name,
            description=source.entry.description,
            compliance_level=source.entry.compliance_level,
        )
        try:
            async with asyncio.timeout(self._patience(name)):
                found = await source.retriever.collections(as_user=principal.id)
        except TimeoutError:
            return replace(info, problem=f"no answer within {self._patience(name):g} s")
        except WaystationError as error:
            return replace(info, problem=error.detail)
        return replace(info, collections=tuple(found))

    async def _check(self, name: str) -> Health:
        source = self._sources[name]
        try:
            async with asyncio.timeout(self._check_seconds):
                if source.store and source.indexer:
                    stats = await asyncio.to_thread(source.indexer.stats)
                    return await source.store.check(expected=stats.chunks)
                return await source.retriever.check()
        except TimeoutError:
            return degraded(f"no answer within {self._check_seconds:g} s")

    def _patience(self, name: str) -> float:
        """Seconds to wait for a source: what its entry says, or the setting."""
        entry = self._sources[name].entry
        return entry.timeout if isinstance(entry, HttpSource) else self._settings.timeout_s

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


def _absolute(path: Path) -> str:
    if not path.exists():
        raise NotIngestable(f"there is no file or folder '{path.name}' to index")
    return str(path.resolve())


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
