"""The index of one source, shared through a bucket: written here, or read."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
import structlog

from core.errors import WaystationError
from core.health import Health, HealthState, degraded
from core.objects import Object, Objects
from nodes.rag.errors import IndexBroken, IndexBusy, IndexWrittenElsewhere
from nodes.rag.manifest import IndexPlace, ManifestFile, alone, files_of
from nodes.rag.shared.following import Follower, MovedOn
from nodes.rag.shared.generation import POINTER, Generation, read_generation
from nodes.rag.shared.lease import LEASE_SECONDS, Holder, Lease
from nodes.rag.shared.publishing import Publisher

NOT_YET = "no index has been published yet"
_TOO_FAST = "newer generations are published faster than they are fetched"
_TRIES = 3
# So often the writer looks whether all that it published is still in the bucket.
VERIFIED_SECONDS = 900.0
_GONE = "what was published is no longer in the bucket"
# While it is being indexed there is nothing to publish; the next step looks again.
_LOCK_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class IndexIncomplete(IndexBroken):
    """The newest generation lacks a file in the bucket, or its list."""

    def __init__(self, generation: Generation) -> None:
        super().__init__(
            f"generation {generation.number} is not whole in the bucket: something removed files of it"
        )
        self.generation = generation


class SharedIndex:
    """What one process does for it: `step` again and again.

    Args:
        manifest: Of the index here.
        holder: The home of this process.
        may_write: False where it only ever reads.
    """

    def __init__(
        self,
        source: str,
        objects: Objects,
        *,
        place: IndexPlace,
        manifest: ManifestFile,
        holder: Holder,
        may_write: bool,
    ) -> None:
        self._source = source
        self._objects = objects
        self._place = place
        self._manifest = manifest
        self._may_write = may_write
        self._lease = Lease(objects, holder)
        self._follower = Follower(objects, place)
        staging = place.root / f"{place.name}.publishing"
        self._publisher = Publisher(objects, place.name, by=holder.host, staging=staging)
        self._marker = place.root / f"{place.name}.shared.json"
        self._lock = place.root / f"{place.name}.shared.lock"
        self._published: str = ""
        self._verified = time.monotonic()
        self._seen: Generation | None = None
        self._made: datetime | None = None
        self._trouble: tuple[str, datetime] | None = None
        self._stepping = asyncio.Lock()
        self.writes = False

    async def step(self) -> None:
        """Renew or seek the right to write; publish what has changed, or fetch what was published.

        What goes wrong is told by `health`: the index that is here is searched meanwhile.
        """
        async with self._stepping:
            try:
                await self._step()
            except (WaystationError, MovedOn, OSError) as error:
                self._told(error)
            else:
                self._trouble = None

    async def publish(self) -> None:
        """Publish now what has changed.

        Raises:
            IndexWrittenElsewhere: Another one has begun to write it.
            WaystationError: The bucket cannot be used.
        """
        async with self._stepping:
            if not (self._may_write and await self._lease.mine()):
                self._read_on()
                raise self.elsewhere()
            await self._publish()

    def elsewhere(self) -> IndexWrittenElsewhere:
        """Why it cannot be written here."""
        by = f"is written by '{self._lease.writer}'" if self._lease.writer else "is only read here"
        return IndexWrittenElsewhere(f"the index of '{self._source}' {by}; index it where it is written")

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Keep the right to write in this block, and publish at its end.

        Raises:
            IndexWrittenElsewhere: Another one writes it, or has begun to meanwhile.
            WaystationError: The bucket cannot be used.
        """
        async with self._stepping:
            await self._step()
        if not self.writes:
            raise self.elsewhere()
        keeping = asyncio.create_task(self.run(LEASE_SECONDS / 3))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await self.publish()

    async def run(self, every_s: float) -> None:
        """Step again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.step()

    async def give_up(self) -> None:
        """Let another one write at once."""
        if self.writes:
            self.writes = False
            try:
                await self._lease.give_up()
            except WaystationError as error:
                _log.warning("index_lease_kept", source=self._source, reason=error.detail)

    def status(self) -> Mapping[str, Any]:
        """For people and machines: the role, the generation and its age."""
        age = (datetime.now(UTC) - self._made).total_seconds() if self._made else None
        seen = self._seen
        return {
            "role": self.role,
            "generation": seen.number if seen else None,
            "age_s": None if age is None else round(age, 1),
            "published_by": seen.by if seen else None,
            "writer": self._lease.writer or None,
            "problem": self._trouble[0] if self._trouble else None,
        }

    @property
    def role(self) -> Literal["writes", "reads"]:
        return "writes" if self.writes else "reads"

    def health(self, answer: Health) -> Health:
        """What the index says of itself, and what the bucket adds."""
        details = {**answer.details, "index": dict(self.status())}
        if not self.writes and self._seen is None and not self._manifest.there():
            return degraded(self._trouble[0] if self._trouble else NOT_YET, **details)
        if answer.state is HealthState.HEALTHY and self._trouble:
            what, since = self._trouble
            # It is old, perhaps, and it answers.
            return degraded(self._still(what, since), **details, readable=True)
        return Health(answer.state, answer.reason, answer.since, details)

    def _still(self, what: str, since: datetime) -> str:
        searched = f"generation {self._seen.number}" if self._seen else "what is here"
        return f"{what} (since {since:%H:%M:%S} UTC); {searched} is searched"

    async def _step(self) -> None:
        if self._may_write and await self._lease.mine():
            if not self.writes:
                # Go on from what was published last: what was embedded is not embedded again.
                await self._go_on()
                self.writes = True
                _log.info("index_written_here", source=self._source)
            if await self._to_publish():
                await self._publish()
            return
        self._read_on()
        if not await self._fetch() and self._seen is not None:
            raise IndexBroken(_GONE)

    async def _go_on(self) -> None:
        try:
            await self._fetch()
        except IndexIncomplete as error:
            # Nobody else writes now, so it stays so: what is here takes its place.
            _log.warning("index_published_anew", source=self._source, reason=error.detail)
            self._mark(error.generation)

    async def _to_publish(self) -> bool:
        """Whether the index is another than was published, or may be gone from the bucket."""
        verified = time.monotonic() < self._verified + VERIFIED_SECONDS
        if not verified or await self._objects.read(POINTER) is None:
            return True
        return await asyncio.to_thread(self._state) != self._published

    def _read_on(self) -> None:
        if self.writes:
            _log.warning("index_written_elsewhere", source=self._source, writer=self._lease.writer)
        self.writes = False

    async def _publish(self) -> None:
        if not self._manifest.there():
            return  # nothing was indexed yet
        with alone(self._lock) as mine:
            if not mine:
                return  # another process of this home is at it
            pointer = await self._objects.read(POINTER)
            before = read_generation(pointer.content) if pointer else None
            if before is not None and before.key != self._marked().get("key"):
                # Somebody wrote who should not have; what they published is gone on from.
                self._read_on()
                return
            before = await self._whole(before)
            state = await self._snapshot()
            last = int(self._marked().get("number", 0))
            made = await self._publisher.publish(before, pointer.tag if pointer else "", last=last)
            if made is None:
                self._read_on()
                return
            self._mark(made)
            self._note(made, pointer if made is before else None)
            self._published, self._verified = state, time.monotonic()
            if made is not before:
                _log.info("index_published", source=self._source, generation=made.number)
                await self._publisher.clean_up(made, before)

    async def _whole(self, before: Generation | None) -> Generation | None:
        if before is None:
            return None
        if self._seen is not None and self._seen.key == before.key and self._seen.parts:
            return self._seen
        try:
            return await self._follower.listed(before.key)
        except MovedOn:
            return before  # its list is gone, and is written again with another one

    async def _snapshot(self) -> str:
        async with self._manifest.locked(seconds=_LOCK_SECONDS):
            state = await asyncio.to_thread(self._state)
            await asyncio.to_thread(self._publisher.snapshot, self._place.now())
        return state

    async def _fetch(self) -> bool:
        """Fetch what was published last; False where nothing is."""
        tried = ""
        for left in reversed(range(_TRIES)):
            pointer = await self._objects.read(POINTER)
            if pointer is None:
                return False
            wanted = read_generation(pointer.content)
            try:
                await self._take(wanted, pointer)
            except MovedOn as error:
                if wanted.key == tried:
                    raise IndexIncomplete(wanted) from error
                tried = wanted.key
                if not left:
                    raise
            else:
                return True
        return False

    async def _take(self, wanted: Generation, pointer: Object) -> None:
        if not self._is_here(wanted.key):
            listed = await self._follower.listed(wanted.key)
            async with self._manifest.locked(seconds=_LOCK_SECONDS):
                if not self._is_here(wanted.key):  # another process of this home may have been at it
                    began = time.monotonic()
                    await self._follower.fetch(listed)
                    self._mark(listed)
                    took = round(time.monotonic() - began, 2)
                    _log.info("index_fetched", source=self._source, generation=wanted.number, seconds=took)
            wanted = listed
        self._note(wanted, pointer)

    def _is_here(self, key: str) -> bool:
        """Whether the index here is that generation; where it is written, what was made of it."""
        marked = self._marked()
        if marked.get("key") != key:
            return False
        here = self._follower.here()
        return self._may_write or (here is not None and here.key == key)

    def _note(self, generation: Generation, pointer: Object | None) -> None:
        if self._seen is None or self._seen.key != generation.key or not self._seen.parts:
            self._seen = generation
        self._made = datetime.now(UTC) - timedelta(seconds=pointer.age_s if pointer else 0)

    def _state(self) -> str:
        """Another text when a file of the index has come or gone, or was replaced."""
        folder = self._place.now()
        tops = list(files_of(folder, self._place.name))
        paths = [p for top in tops for p in ([top] if top.is_file() else sorted(top.glob("_versions/*")))]
        found = []
        for path in paths:
            try:
                found.append((str(path), path.stat().st_mtime_ns))
            except FileNotFoundError:  # tidied away
                continue
        return str([str(folder), *found])

    def _marked(self) -> Mapping[str, Any]:
        try:
            found: Any = orjson.loads(self._marker.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _mark(self, generation: Generation) -> None:
        draft = self._marker.with_suffix(f".{os.getpid()}.draft")
        draft.write_bytes(orjson.dumps({"key": generation.key, "number": generation.number}))
        draft.replace(self._marker)

    def _told(self, error: WaystationError | MovedOn | OSError) -> None:
        if isinstance(error, IndexBusy):
            return  # it is being indexed: the next step publishes
        what = _why(error)
        if self._trouble is None:
            _log.warning("index_not_shared", source=self._source, reason=what)
        self._trouble = (what, self._trouble[1] if self._trouble else datetime.now(UTC))


def _why(error: WaystationError | MovedOn | OSError) -> str:
    if isinstance(error, WaystationError):
        return error.detail
    if isinstance(error, OSError):  # a full disk, say; no paths
        return f"the index cannot be stored here: {error.strerror or type(error).__name__}"
    return _TOO_FAST
