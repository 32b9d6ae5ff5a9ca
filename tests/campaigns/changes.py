"""Change files while they are indexed, and kill who indexes them; in the end compare with a fresh index.

    python -m tests.campaigns.changes [--documents 2000] [--kills 8] [--changes 400] [--seed 1]

A process indexes a folder as the service does, at its start and while files change. Meanwhile files are
written, replaced, renamed, appended to and taken away, and the process is killed with signal 9 at random
moments. When all is quiet the index holds exactly what a fresh one of the same folder holds: no document and
no passage more, none less, and each of them as it stands in the files.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.access import Principal
from core.container import opened_service
from core.installed import ROOT
from core.settings import Context
from nodes.rag import RAGClient
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.manifest import IndexPlace, index_name
from nodes.rag.module import MODULE
from waystation.testing.agents import context_at

ADA = Principal("ada")
LATEST_SECONDS = 4.0
STARTED_SECONDS = 120.0
MOST = 1000
_SOURCES = "docs: {{type: local, path: {docs}}}\n"

Held = dict[str, list[tuple[str, int, int]]]
"""The passages of each document: text, beginning and end."""


class Folder:
    """Documents that somebody works on."""

    def __init__(self, docs: Path, *, documents: int, seed: int) -> None:
        self._docs = docs
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self._written = 0
        docs.mkdir()
        for _ in range(documents):
            self.write()

    def change(self) -> None:
        """Do one thing to one document."""
        kinds: tuple[Callable[[], None], ...] = (
            self.write,
            self._replace,
            self._append,
            self._move,
            self._drop,
        )
        self._chance.choice(kinds)()

    def pause(self, longest: float) -> float:
        return self._chance.uniform(0, longest)

    def write(self) -> None:
        self._written += 1
        (self._docs / f"d{self._written:05}.md").write_text(self._text())

    def _text(self) -> str:
        parts = self._chance.randint(1, 6)
        return "\n".join(
            f"## Part {n}\n\nBay {self._chance.random()} holds crate {n}.\n" for n in range(parts)
        )

    def _one(self) -> Path:
        return self._chance.choice(sorted(self._docs.iterdir()))

    def _replace(self) -> None:
        path = self._one()
        draft = path.with_suffix(".draft")
        draft.write_text(self._text())
        draft.replace(path)

    def _append(self) -> None:
        with self._one().open("a") as file:
            file.write(f"\n## More\n\nAnd crate {self._chance.random()}.\n")

    def _move(self) -> None:
        self._written += 1
        self._one().rename(self._docs / f"m{self._written:05}.md")

    def _drop(self) -> None:
        self._one().unlink()


class Indexing:
    """A process that indexes until it is killed."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.campaigns.changes", "--victim", str(folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def begun(self) -> None:
        """Return when it has."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"begun\n", "the process did not begin"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


async def _index_on(folder: Path) -> None:
    async with opened_service(MODULE, RAGClient, _context(folder, folder / "docs")) as (rag, _):
        print("begun", flush=True)
        await rag.prepare(behind=True)
        rag.watch_soon()
        await asyncio.sleep(STARTED_SECONDS)  # its killer comes before


def _context(folder: Path, docs: Path) -> Context:
    return context_at(folder, files={"sources.yaml": _SOURCES.format(docs=docs)})


async def held(folder: Path, docs: Path) -> tuple[Held, int]:
    """What the index of a home holds when it is up to date; and how many rows it has."""
    async with opened_service(MODULE, RAGClient, _context(folder, docs)) as (rag, _):
        await rag.prepare()
        names = [info.name for info in await rag.documents("docs", principal=ADA)]
        found: Held = {}
        for name in names:
            chunks = await rag.chunks("docs", name, principal=ADA, limit=MOST)
            found[name] = [(chunk.text, chunk.start, chunk.end) for chunk in chunks]
    place = IndexPlace(folder / "home" / "index", index_name("docs"))
    lance = LanceFolder(place.now())
    try:
        return found, await LanceStore(lance, place.name).size()
    finally:
        lance.close()


def compared(kept: Held, fresh: Held) -> list[str]:
    """In which documents they differ, in words."""
    found = [f"'{name}' is gone and still found" for name in kept.keys() - fresh.keys()]
    found += [f"'{name}' is there and not found" for name in fresh.keys() - kept.keys()]
    both = kept.keys() & fresh.keys()
    return found + [f"'{name}' is not as it stands in its file" for name in both if kept[name] != fresh[name]]


async def changes(
    folder: Path, *, documents: int, kills: int, changes: int, seed: int
) -> tuple[int, list[str]]:
    """So many changes, and kills in between; how many documents there are then, and what is wrong."""
    worked_on = Folder(folder / "docs", documents=documents, seed=seed)
    for _ in range(kills):
        indexing = Indexing(folder)
        await asyncio.to_thread(indexing.begun)
        longest = LATEST_SECONDS / max(1, changes // kills)
        for _ in range(changes // kills):
            worked_on.change()
            await asyncio.sleep(worked_on.pause(2 * longest))  # the moments are what is random
        indexing.kill()
    kept, rows = await held(folder, folder / "docs")
    other = folder / "other"
    other.mkdir()
    fresh, fresh_rows = await held(other, folder / "docs")
    found = compared(kept, fresh)
    if rows != fresh_rows or rows != sum(map(len, kept.values())):
        found.append(f"the index has {rows} rows, a fresh one {fresh_rows}")
    return len(fresh), found


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.campaigns.changes")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--changes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        there, found = asyncio.run(
            changes(
                Path(name),
                documents=given.documents,
                kills=given.kills,
                changes=given.changes,
                seed=given.seed,
            )
        )
    print(
        f"{given.kills} kills and {given.changes} changes (seed {given.seed}): {there} documents in the end"
    )
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--victim"]:
        asyncio.run(_index_on(Path(sys.argv[2])))
    else:
        sys.exit(main())
