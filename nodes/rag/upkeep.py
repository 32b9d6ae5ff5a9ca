"""Keeps the local indexes up to date: at the start, when an entry changes, and while files change."""

from __future__ import annotations

import asyncio
import glob
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from core.errors import WaystationError
from core.reload import wake_ups
from nodes.rag.files import fixed_part, is_within, kept_out
from nodes.rag.indexing import Indexer
from nodes.rag.models import IngestReport, Progress, SourceStats

QUIET_SECONDS = 0.3
_NAMED = 5  # files left out that a line of the log names
# Network drives tell nobody what changes: there, only looking helps.
LOOK_SECONDS = 3.0
# A look at very many files takes long; then the next one waits so many times as long.
_PAUSE_FACTOR = 50
_FOLDERS_AGAIN_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class FileWatcher:
    """Looks for changed files when the file system says so, and every few seconds anyway.

    Args:
        indexers: Those of the sources of now, by their names.
    """

    def __init__(self, indexers: Callable[[], Mapping[str, Indexer]]) -> None:
        self._indexers = indexers
        self._news = asyncio.Event()
        # What keeps each source from being looked at: said once, and not at every look again.
        self._kept_by: dict[str, WaystationError] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for deep in (True, False):
                group.create_task(self._listen(deep=deep))
            group.create_task(self._look_on())

    async def _listen(self, *, deep: bool) -> None:
        def folders() -> set[Path]:
            roots = [root for indexer in self._indexers().values() for root in indexer.roots()]
            return {folder for folder, whole in map(watched, roots) if whole is deep}

        wakes = wake_ups(
            folders,
            quiet_s=QUIET_SECONDS,
            every_s=_FOLDERS_AGAIN_SECONDS,
            recursive=deep,
            matters=self._matters,
        )
        async for _ in wakes:
            self._news.set()

    def _matters(self, path: Path) -> bool:
        """Not where a root holds the home alone: a service at work writes there all the time."""
        found = [(root, one.manifest.home) for one in self._indexers().values() for root in one.roots()]
        return any(_may_hold(root, home, path) for root, home in found)

    async def _look_on(self) -> None:
        while True:
            self._news.clear()
            pause = await self.look()
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def look(self) -> float:
        """Look at every source once; gives the seconds until the next look, if nothing is said before."""
        took = await asyncio.gather(*(self._look(name, one) for name, one in self._indexers().items()))
        return max(LOOK_SECONDS, _PAUSE_FACTOR * max(took, default=0.0))

    async def _look(self, name: str, indexer: Indexer) -> float:
        """Seconds that the look took, without what was indexed after it: that is no reason to look seldom."""
        began = time.monotonic()
        took = 0.0
        try:
            stale = await indexer.stale()
            took = time.monotonic() - began
            if stale:
                await _take_over(indexer)
            self._kept_by.pop(name, None)
        except WaystationError as error:
            before = self._kept_by.get(name)
            self._kept_by[name] = error
            if before is None or (before.code, before.detail) != (error.code, error.detail):
                _log.warning("source_not_looked_at", source=name, code=error.code, reason=error.detail)
        except Exception:  # noqa: BLE001 - the edge of a background task: one bad look must not be the last
            _log.exception("source_not_looked_at", source=name)
        return took


def _may_hold(root: str, home: Path, path: Path) -> bool:
    folder = watched(root)[0]
    return is_within(path, (folder, folder.resolve())) and not is_within(path, kept_out(root, home))


def watched(root: str) -> tuple[Path, bool]:
    """The folder in which a change may matter to `root`, and whether those below it do too."""
    if glob.has_magic(root):
        fixed = fixed_part(root)
        return fixed, any(map(glob.has_magic, Path(root).relative_to(fixed).parts[:-1]))
    path = Path(root)
    return (path, True) if path.is_dir() else (path.parent, False)


class NoIndexQueue:
    """The answer of a process without a task queue: index it here."""

    async def index(self, source: str) -> bool:
        return False


class IndexTasks:
    """A task per source; a newer one takes the place of the older."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` for the source `name`."""
        if name in self._tasks:
            self._tasks[name].cancel()  # it works on what the file said before; safe at any point
        task = asyncio.create_task(work, name=f"index {name}")
        self._tasks[name] = task
        task.add_done_callback(partial(self._ended, name))

    async def aclose(self) -> None:
        """End what runs; what was done stays."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]


async def update(name: str, indexer: Indexer, progress: Progress | None = None) -> IngestReport:
    """Index what changed; a source that cannot be indexed is reported."""
    try:
        report = await indexer.update(progress=progress)
    except WaystationError as error:
        _log.warning("source_not_indexed", source=name, code=error.code, reason=error.detail)
        return IngestReport(name, problems=(error.detail,))
    _log_report(await asyncio.to_thread(indexer.stats), report)
    return report


async def _take_over(indexer: Indexer) -> None:
    """Index what changed on disk; a file that was only looked at once more is not worth a line."""
    report = await indexer.update()
    if report.changed or report.removed:
        _log_report(await asyncio.to_thread(indexer.stats), report)


def _log_report(stats: SourceStats, report: IngestReport) -> None:
    """One line per source in the log: what can be found in it, and what is left out."""
    told: dict[str, Any] = {"files": stats.files, "chunks": stats.chunks, "skipped": stats.skipped}
    if stats.reasons:
        told["left_out"] = dict(list(stats.reasons.items())[:_NAMED])
    # What is wrong with the whole names what is not there too.
    problems = [stats.problem] if stats.problem else report.problems
    if problems:
        _log.warning("source_incomplete", source=stats.source, reason="; ".join(problems), **told)
    else:
        _log.info("source_indexed", source=stats.source, changed=report.changed, **told)
