"""Kill whoever writes a shared index with signal 9 at random moments, and look at what readers have.

    python -m tests.campaigns.publishing [--kills 20] [--seed 1]

A process changes every document, indexes and publishes, again and again. After each kill a reader that
searches all the time has every document whole, and all of one version: that of the last generation
that was published. The next process on the same home goes on, and the generations count up.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from core.access import Principal
from core.container import opened_service
from nodes.rag import RAGClient
from nodes.rag.module import MODULE
from tests.campaigns.uploads import Victim, bucket_of
from waystation.testing.agents import context_at
from waystation.testing.s3 import S3Server

DOCUMENTS = 40
SECTIONS = 6
LATEST_SECONDS = 2.0
ADA = Principal("ada")


@asynccontextmanager
async def home(folder: Path, place: Mapping[str, str], name: str, role: str) -> AsyncIterator[RAGClient]:
    """A client of one home, which shares the index of `folder/docs`."""
    s3 = {
        "endpoint_url": place["url"],
        "access_key_id": place["key"],
        "secret_access_key": place["secret"],
        "create_bucket": True,
    }
    context = context_at(
        folder / name,
        files={"sources.yaml": f"docs: {{type: local, path: {folder / 'docs'}}}\n"},
        rag={"index": f"s3://{place['bucket']}/team", "index_role": role, "search": "words"},
        file_storage={"s3": s3},
    )
    async with opened_service(MODULE, RAGClient, context) as (client, _):
        yield client


def write(folder: Path, version: str) -> None:
    """Every document, in one version."""
    (folder / "docs").mkdir(exist_ok=True)
    for number in range(DOCUMENTS):
        sections = (f"## Part {n}\n\nThis is part {n}: {version}.\n" for n in range(SECTIONS))
        (folder / "docs" / f"d{number:03}.md").write_text("\n".join(sections))


class Publishing:
    """A shared index whose writer is killed again and again, and one that reads it."""

    def __init__(self, folder: Path, place: Mapping[str, str], *, seed: int) -> None:
        self._folder, self._place = folder, place
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self._last = 0
        self.found: list[str] = []
        self.promised = 0

    async def run(self, kills: int) -> None:
        async with home(self._folder, self._place, "reader", "read") as reader:
            for number in range(kills):
                said = await self._killed(reader, number)
                self.promised += sum(1 for word, *_ in said if word == "stored")
                await reader.sharing.once()
                await self._look_at(reader, {name for word, _, name in said if word == "stored"})
            async with home(self._folder, self._place, "writer", "write") as writer:
                write(self._folder, "theend")
                await writer.ingest("docs")
            await reader.sharing.once()
            if await self._versions(reader) != {"theend"}:
                self.found.append("the reader does not have what was published last")

    async def _killed(self, reader: RAGClient, number: int) -> list[list[str]]:
        """One process that is killed, while the reader follows."""
        words = [str(self._folder), str(number), *(f"{name}={value}" for name, value in self._place.items())]
        victim = Victim(*words, module="tests.campaigns.publishing")
        killing = asyncio.create_task(
            asyncio.to_thread(victim.killed_after, self._chance.uniform(0, LATEST_SECONDS))
        )
        while not killing.done():
            await reader.sharing.once()
            await self._look_at(reader, set())
            await asyncio.wait({killing}, timeout=0.1)
        return await killing

    async def _look_at(self, reader: RAGClient, promised: set[str]) -> None:
        versions = await self._versions(reader)
        if len(versions) > 1:
            self.found.append(f"a reader has several versions at once: {sorted(versions)}")
        (stats,) = await reader.stats()
        number = int((stats.index or {}).get("generation") or 0)
        if number < self._last:
            self.found.append(f"generation {number} came after {self._last}")
        self._last = number
        if promised and not versions:
            self.found.append("something was published, and the reader has nothing")

    async def _versions(self, reader: RAGClient) -> set[str]:
        """The versions of all pieces; a document that is there by half is told."""
        found: set[str] = set()
        counts: set[int] = set()
        for number in range(DOCUMENTS):
            pieces = await reader.chunks("docs", f"d{number:03}.md", principal=ADA)
            counts.add(sum(piece.text.count("This is part") for piece in pieces))
            found |= {
                line.rpartition(": ")[2] for p in pieces for line in p.text.splitlines() if ": " in line
            }
        if counts not in ({0}, {SECTIONS}):
            self.found.append(f"documents have {sorted(counts)} of {SECTIONS} parts")
        return {version.strip(".") for version in found}


async def _publish(folder: Path, number: str, place: Mapping[str, str]) -> None:
    """Change and publish for ever; each line says what is promised."""
    async with home(folder, place, "writer", "write") as writer:
        for turn in range(10_000):
            version = f"v{number}x{turn}"
            write(folder, version)
            print(f"begun docs {version}", flush=True)
            await writer.ingest("docs")
            print(f"stored docs {version}", flush=True)


async def publishing(folder: Path, place: Mapping[str, str], *, kills: int, seed: int) -> Publishing:
    """So many kills of a writer."""
    campaign = Publishing(folder, place, seed=seed)
    await campaign.run(kills)
    return campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.campaigns.publishing")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, S3Server() as server:
        place = bucket_of(server, "shared")
        campaign = asyncio.run(publishing(Path(folder), place, kills=given.kills, seed=given.seed))
    took = time.monotonic() - began
    print(f"{given.kills} kills of a writer (seed {given.seed}): {campaign.promised} promised, {took:.0f} s")
    for problem in campaign.found:
        print(problem)
    return 1 if campaign.found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--victim"]:
        asyncio.run(_publish(Path(sys.argv[2]), sys.argv[3], dict(one.split("=", 1) for one in sys.argv[4:])))
    else:
        sys.exit(main())
