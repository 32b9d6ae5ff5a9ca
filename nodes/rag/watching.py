"""Takes over what changes in the files of local sources while the service runs."""

from __future__ import annotations

import asyncio
import glob
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from core.errors import WaystationError
from core.reload import wake_ups
from nodes.rag.files import fixed_part
from nodes.rag.indexing import Indexer

QUIET_SECONDS = 0.3
# Network drives tell nobody what changes: there, only looking helps.
LOOK_SECONDS = 3.0
# A look at very many files takes long; then the next one waits so many times as long.
_PATIENCE = 50
_FOLDERS_AGAIN_SECONDS = 30.0

_log = structlog.get_logger(__name__)

Targets = Callable[[], Mapping[str, Indexer]]


class Watching:
    """Looks for changed files when the file system says so, and every few seconds anyway.

    Args:
        targets: The indexers of the sources of now, by their names.
        index: Brings the index of one source up to date.
    """

    def __init__(self, targets: Targets, index: Callable[[str, Indexer], Awaitable[object]]) -> None:
        self._targets = targets
        self._index = index
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for deep in (True, False):
                group.create_task(self._listen(deep=deep))
            group.create_task(self._look_on())

    async def _listen(self, *, deep: bool) -> None:
        def folders() -> set[Path]:
            roots = [root for indexer in self._targets().values() for root in indexer.roots()]
            return {folder for folder, whole in map(watched, roots) if whole is deep}

        wakes = wake_ups(folders, quiet_s=QUIET_SECONDS, every_s=_FOLDERS_AGAIN_SECONDS, recursive=deep)
        async for _ in wakes:
            self._news.set()

    async def _look_on(self) -> None:
        while True:
            began = time.monotonic()
            self._news.clear()
            await asyncio.gather(*(self._look(name, one) for name, one in self._targets().items()))
            pause = max(LOOK_SECONDS, _PATIENCE * (time.monotonic() - began))
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _look(self, name: str, indexer: Indexer) -> None:
        try:
            if await indexer.stale():
                await self._index(name, indexer)
        except WaystationError as error:
            _log.warning("source_not_looked_at", source=name, code=error.code, reason=error.detail)
        except Exception:  # noqa: BLE001 - the edge of a background task: one bad look must not be the last
            _log.exception("source_not_looked_at", source=name)


def watched(root: str) -> tuple[Path, bool]:
    """The folder in which a change may matter to `root`, and whether those below it do too."""
    if glob.has_magic(root):
        fixed = fixed_part(root)
        return fixed, any(map(glob.has_magic, Path(root).relative_to(fixed).parts[:-1]))
    path = Path(root)
    return (path, True) if path.is_dir() else (path.parent, False)
