"""Hot reload: reads changed files again, and makes them the newest edition when everything accepts them.

A bad edit leaves the running edition alone. It is told once as an event and in
the log, and in the health until the files are valid again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from core.errors import WaystationError
from core.events import Event
from core.health import Health, HealthState, healthy
from core.reload import Fingerprint, Stamps, fingerprint, folders_of, lost, stamps, wake_ups
from core.settings import Book, ConfigErrors, ConfigProblem
from core.settings.book import Editions
from nodes.config.events import ConfigRejected, ConfigReloaded
from nodes.config.manager import ConfigManager
from nodes.config.reload import Snapshot, changed_keys, changes, files_of, is_live, renewed
from nodes.config.settings import ReloadSettings

# An editor may take a file away, or empty it, before it writes it anew.
PATIENCE_SECONDS = 1.0
# Files that do not come to rest for this long are left to the next wake-up.
_GIVE_UP_SECONDS = 5.0
_LISTED = 50

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rejection:
    """What the files hold cannot be taken over, since then."""

    problems: tuple[ConfigProblem, ...]
    since: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "since": self.since.isoformat(timespec="seconds"),
            "problems": list(map(str, self.problems[:_LISTED])),
        }


@dataclass(frozen=True, slots=True)
class _Reading:
    """The files as they were read in one go."""

    book: Book
    problems: tuple[ConfigProblem, ...]
    marks: Fingerprint
    stamps: Stamps


class ConfigWatcher:
    """Watches the files of a service and swaps its editions.

    Args:
        manager: Knows what to read, and what the service started with.
        publish: Is told of editions and rejections.
    """

    def __init__(
        self,
        manager: ConfigManager,
        editions: Editions,
        settings: ReloadSettings,
        *,
        publish: Callable[[Event], None],
    ) -> None:
        self._manager = manager
        self._editions = editions
        self._settings = settings
        self._publish = publish
        self._live = is_live(editions.newest.book)
        self._looking = asyncio.Lock()
        # The first look compares with what the start has read: of that, only which files had text.
        self._marks: Fingerprint = _read_at_start(editions.newest.book)
        self._looked_before = False
        self._rejection: Rejection | None = None
        self._needs_restart: tuple[str, ...] = ()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Take over what changes until the block ends; does nothing where `reload.watch` is off."""
        if not self._settings.watch:
            yield
            return
        task = asyncio.create_task(self._watch(), name="config watcher")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    @property
    def rejection(self) -> Rejection | None:
        """Why the files on disk are not what the service runs with; None when they are."""
        return self._rejection

    async def check(self) -> Health:
        """Degraded while the files on disk are not valid."""
        if not self._settings.watch:
            return await self._manager.check()
        files = {report.kind: report.name if report.read else None for report in self._manager.describe()}
        details: dict[str, Any] = {
            "edition": self._editions.newest.number,
            "files": files,
            "needs_restart": list(self._needs_restart[:_LISTED]),
        }
        rejection = self._rejection
        if rejection is None:
            return healthy(**details)
        problems = rejection.problems
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems, the first"
        reason = (
            f"the changed files are not valid, and edition {self._editions.newest.number} stays; "
            f"{count}: {problems[0]}"
        )
        details["rejected"] = rejection.as_json()
        return Health(HealthState.DEGRADED, reason, rejection.since, details)

    async def look(self) -> None:
        """Read the files where they changed since the last look, and take them over or reject them."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        marks = await asyncio.to_thread(self._fingerprint)
        if marks == self._marks:
            return
        reading = await self._read()
        if reading is None:
            return  # it is being written; the next wake-up comes with its end
        beside_changed = self._looked_before and self._plugins(self._marks) != self._plugins(reading.marks)
        self._marks, self._looked_before = reading.marks, True
        if reading.problems:
            self._reject(reading.problems)
        else:
            await self._take_over(reading.book, anyway=beside_changed)

    async def _watch(self) -> None:
        await self._looked()  # what changed between the start and now
        wakes = wake_ups(
            lambda: folders_of(files_of(self._editions.newest.book)),
            quiet_s=self._settings.quiet_s,
            every_s=self._settings.every_s,
        )
        async for _ in wakes:
            await self._looked()

    async def _looked(self) -> None:
        try:
            await self.look()
        except Exception:  # the edge of a background task: one bad look must not be the last
            log.exception("config_not_read")

    def _fingerprint(self) -> Fingerprint:
        return fingerprint(files_of(self._editions.newest.book))

    def _state_of_files(self) -> tuple[Stamps, Fingerprint]:
        return stamps(files_of(self._editions.newest.book)), self._fingerprint()

    def _plugins(self, marks: Fingerprint) -> Fingerprint:
        folder = str(self._editions.newest.book.context.places.config_dir)
        return {name: mark for name, mark in marks.items() if not name.startswith(folder) and mark}

    async def _read(self) -> _Reading | None:
        """A reading during which no file changed, nor shortly before it lost its text; None without one."""
        now = asyncio.get_running_loop().time
        give_up = now() + _GIVE_UP_SECONDS
        since, emptied = now(), Stamps()
        while True:
            reading = await asyncio.to_thread(self._read_once)
            if reading is not None:
                found = {name: reading.stamps.get(name, ()) for name in lost(self._marks, reading.marks)}
                if found != emptied:
                    since, emptied = now(), found
                if not found or now() - since >= PATIENCE_SECONDS:
                    return reading
            if now() >= give_up:
                return None
            await asyncio.sleep(self._settings.quiet_s)

    def _read_once(self) -> _Reading | None:
        before = self._state_of_files()
        book, problems = self._manager.reread()
        # The stamps, because a file may have been emptied and written as it was meanwhile.
        if self._state_of_files() != before:
            return None
        return _Reading(book, tuple(problems), marks=before[1], stamps=before[0])

    async def _take_over(self, found: Book, *, anyway: bool) -> None:
        running = self._editions.newest.book
        book = renewed(running, found)
        self._needs_restart, changed = await asyncio.to_thread(self._compare, running, book, found)
        if changed or anyway:
            try:
                edition = await self._editions.swap(book)
            except WaystationError as error:
                self._reject(_problems(error))
                return
            except Exception as error:  # whatever a part does wrong, the running edition stays
                log.exception("config_not_taken_over")
                fault = (
                    f"was not taken over by a fault of ours ({type(error).__name__}); the log has the details"
                )
                self._reject((ConfigProblem("configuration", fault),))
                return
            await asyncio.to_thread(lambda: Snapshot.of(book).save(book.context.places.home))
            log.info("config_reloaded", edition=edition.number, changed=changed[:_LISTED])
            self._publish(ConfigReloaded(edition=edition.number, changed=tuple(changed)))
        if self._rejection is not None:
            self._rejection = None
            log.info("config_valid_again", edition=self._editions.newest.number)

    def _compare(self, running: Book, book: Book, found: Book) -> tuple[tuple[str, ...], list[str]]:
        """The keys that wait for a restart, and those that changed now."""
        waiting = [c.key for c in changes(self._manager.loaded(), found) if not self._live(c.key)]
        return tuple(waiting), changed_keys(Snapshot.of(running), book)

    def _reject(self, problems: tuple[ConfigProblem, ...]) -> None:
        if self._rejection is not None and self._rejection.problems == problems:
            return
        since = self._rejection.since if self._rejection else datetime.now(UTC)
        self._rejection = Rejection(problems, since)
        told = tuple(map(str, problems))
        log.warning("config_rejected", edition=self._editions.newest.number, problems=told[:_LISTED])
        self._publish(ConfigRejected(problems=told))


def _read_at_start(book: Book) -> Fingerprint:
    return {str(found.path): "text" for found in book.documents.values() if found.path and found.data}


def _problems(error: WaystationError) -> tuple[ConfigProblem, ...]:
    if isinstance(error, ConfigErrors):
        return error.problems
    return (ConfigProblem("configuration", error.detail),)
