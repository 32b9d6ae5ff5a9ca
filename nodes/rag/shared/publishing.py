"""Publish an index: new files, a list, and last the pointer. Until that is written nothing has changed."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from core.objects import Objects
from nodes.rag.manifest import files_of
from nodes.rag.shared.generation import (
    FILES,
    GENERATIONS,
    POINTER,
    Generation,
    Part,
    digest_of,
    read_generation,
)
from nodes.rag.shared.transfers import transferred

# A reader that began with an older list may still fetch its files. One that comes later begins anew.
KEPT_SECONDS = 600.0
# A file that no list names may belong to one that is on its way.
UNLISTED_SECONDS = 3600.0


class Publisher:
    """Publishes the index of one source.

    Args:
        staging: A folder for what is being published, of this process alone.
    """

    def __init__(self, objects: Objects, name: str, *, by: str, staging: Path) -> None:
        self._objects = objects
        self._name = name
        self._by = by
        self._staging = staging
        self._known: dict[tuple[int, int, int], str] = {}
        self._lists: dict[str, frozenset[str]] = {}

    def snapshot(self, folder: Path) -> None:
        """Keep the files of the index in `folder` as they are now. Hold the index's lock meanwhile."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True)
        for path in _in_order(files_of(folder, self._name)):
            target = self._staging / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _linked(path, target)
            except FileNotFoundError:
                continue  # of an older version, which was tidied away

    async def publish(self, before: Generation | None, tag: str, *, last: int = 0) -> Generation | None:
        """Publish the snapshot behind `before`, whose pointer has this tag.

        Args:
            last: The number of the generation that was here before: numbers count up, also where the
                bucket was emptied.

        Gives what is published now, `before` where nothing has changed; None where another one has
        published meanwhile.
        """
        try:
            parts = await asyncio.to_thread(self._parts)
            # Also what was published before: something else may have removed it since.
            await self._upload(parts, before)
            if before is not None and before.parts == parts:
                await self._listed(before)
                return before
            number = max(before.number if before else 0, last) + 1
            made = Generation(f"{number:08}-{uuid.uuid4().hex[:8]}", number, self._by, parts)
            await self._listed(made)
            if not await self._objects.replace(POINTER, made.as_pointer(), tag=tag):
                return None
            return made
        finally:
            await asyncio.to_thread(shutil.rmtree, self._staging, ignore_errors=True)

    async def _listed(self, made: Generation) -> None:
        """Its list is in the bucket, which holds for one of before as long as nobody removed it."""
        await self._objects.replace(f"{GENERATIONS}{made.key}.json", made.as_list(), tag="")

    async def clean_up(self, now: Generation, before: Generation | None) -> None:
        """Remove lists that nobody can be at any more, and files that none of the others names."""
        ages = await self._objects.ages(GENERATIONS)
        mine = {f"{GENERATIONS}{g.key}.json" for g in (now, before) if g}
        old = [name for name, age in ages.items() if name not in mine and age > KEPT_SECONDS]
        for g in filter(None, (now, before)):
            self._lists[f"{GENERATIONS}{g.key}.json"] = frozenset(g.digests.values())
        needed: set[str] = set()
        for name in ages.keys() - set(old):
            needed |= await self._files_of(name)
        files = await self._objects.ages(FILES)
        await self._objects.delete(old)
        await self._objects.delete(
            name
            for name, age in files.items()
            if age > UNLISTED_SECONDS and name.removeprefix(FILES) not in needed
        )
        self._lists = {name: self._lists[name] for name in self._lists.keys() - set(old)}

    async def _files_of(self, name: str) -> frozenset[str]:
        if name not in self._lists:
            found = await self._objects.read(name)
            digests = read_generation(found.content).digests.values() if found else ()
            self._lists[name] = frozenset(digests)
        return self._lists[name]

    def _parts(self) -> tuple[Part, ...]:
        paths = sorted(_below(self._staging))
        known = {}
        parts = []
        for path in paths:
            found = path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            known[stamp] = self._known.get(stamp) or digest_of(path)
            parts.append(Part(path.relative_to(self._staging).as_posix(), known[stamp], found.st_size))
        self._known = known
        return tuple(parts)

    async def _upload(self, parts: Iterable[Part], before: Generation | None) -> None:
        listed = frozenset(before.digests.values()) if before else frozenset[str]()
        ages = await self._objects.ages(FILES)
        found = {name.removeprefix(FILES): age for name, age in ages.items()}
        # One that is old may be removed as nobody's: it is stored again, and so young again.
        there = {name for name, age in found.items() if name in listed or age < UNLISTED_SECONDS / 2}
        wanted = {part.digest: part.path for part in parts if part.digest not in there}
        upload, staging = self._objects.upload, self._staging
        await transferred(partial(upload, FILES + digest, staging / path) for digest, path in wanted.items())


def _in_order(tops: Iterable[Path]) -> Iterator[Path]:
    """All files of an index; of a table, what lists its files comes first.

    Whatever such a list names is there by then, also where the table is written to meanwhile.
    """
    for top in tops:
        lists = list(_below(top / "_versions")) if top.is_dir() else []
        yield from lists
        yield from (path for path in _below(top) if path.parent.name != "_versions")


def _below(top: Path) -> Iterator[Path]:
    if top.is_file():
        yield top
    for folder, _, names in os.walk(top):
        yield from (Path(folder, name) for name in names)


def _linked(path: Path, target: Path) -> None:
    """The same file under another name: files of an index are replaced, never written into."""
    try:
        target.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copy2(path, target)
