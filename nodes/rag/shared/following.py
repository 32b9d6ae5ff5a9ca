"""Fetch what was published into a folder of its own; what is there already is not fetched again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from core.objects import Objects
from nodes.rag.errors import IndexBroken
from nodes.rag.manifest import IndexPlace
from nodes.rag.shared.generation import FILES, GENERATIONS, Generation, Part, digest_of, read_generation
from nodes.rag.shared.transfers import transferred

# In the folder of a fetched index: which one it is.
LIST = "generation.json"


class MovedOn(Exception):
    """What was being fetched is gone, since newer ones were published."""


class Follower:
    """Fetches generations of one index."""

    def __init__(self, objects: Objects, place: IndexPlace) -> None:
        self._objects = objects
        self._place = place

    def here(self) -> Generation | None:
        """The generation that is searched here; None where it was not fetched."""
        try:
            return read_generation((self._place.now() / LIST).read_bytes())
        except (OSError, IndexBroken):
            return None

    async def listed(self, key: str) -> Generation:
        """A generation with its files, by its key.

        Raises:
            MovedOn: Its list is gone.
        """
        found = await self._objects.read(f"{GENERATIONS}{key}.json")
        if found is None:
            raise MovedOn
        return read_generation(found.content)

    async def fetch(self, wanted: Generation) -> None:
        """Fetch a generation, and let it take the place. Hold the index's lock.

        Raises:
            MovedOn: One of its files is gone.
            IndexBroken: A file is not what it is listed as.
        """
        await asyncio.to_thread(self._place.sweep)
        folder = self._place.new()
        try:
            missing = await asyncio.to_thread(self._linked, wanted, folder)
            await transferred(partial(self._download, part, folder / part.path) for part in missing)
            await asyncio.to_thread((folder / LIST).write_bytes, wanted.as_list())
            await asyncio.to_thread(self._place.take, folder)
        except BaseException:
            self._place.drop(folder)
            raise

    def _linked(self, wanted: Generation, folder: Path) -> list[Part]:
        """Link what the index of now has; gives what it has not."""
        before = self.here()
        known: Mapping[str, str] = before.digests if before else {}
        by_digest = {digest: path for path, digest in known.items() if not path.endswith(".json")}
        now, missing = self._place.now(), []
        for part in wanted.parts:
            target, there = folder / part.path, by_digest.get(part.digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            if there is None or not _link(now / there, target, part.size):
                missing.append(part)
        return missing

    async def _download(self, part: Part, target: Path) -> None:
        if not await self._objects.download(FILES + part.digest, target):
            raise MovedOn
        if await asyncio.to_thread(digest_of, target) != part.digest:
            raise IndexBroken("a file of the index in the bucket is not what it is listed as")


def _link(path: Path, target: Path, size: int) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        target.hardlink_to(path)
    except OSError:  # tidied away, or a file system without links
        return False
    return True
