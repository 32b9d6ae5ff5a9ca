"""Kill uploads and ingests with signal 9 at random moments, and look whether anything is there by half.

    python -m tests.campaigns.uploads [--kills 40] [--store local|s3] [--what uploads|ingests]
        [--mebibytes 100] [--seed 1]

A process stores one file after the other, new ones and ones in place of the last, and says when a
store has promised one. After each kill what was left is reconciled, as an operator would: every
promised file is whole, every other is whole or not there, and nothing else is left in the folder
or the bucket. An ingest is killed the same way: a document is in the index whole or not at all,
and the next ingest makes it what it would have been.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from core.installed import ROOT
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.adapters.s3 import S3StorageClient
from nodes.file_storage.errors import FileNotFound
from nodes.file_storage.models import Leftovers
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import S3Settings
from nodes.rag import RAGClient, RagSettings
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.settings import LocalSource
from nodes.rag.source import Source
from waystation.testing.contracts.file_store import ADA, draft
from waystation.testing.s3 import S3Server

MIB = 1024 * 1024
LATEST_SECONDS = 2.5
STARTED_SECONDS = 120.0
DOCUMENTS = 150
SECTIONS = 12


def content(name: str, mebibytes: int) -> Iterator[bytes]:
    """The bytes of a file, by its name: mebibytes that are no two the same."""
    for number in range(mebibytes):
        seed = hashlib.sha256(f"{name} {number}".encode()).digest()
        yield seed * (MIB // len(seed))


def digest_of(name: str, mebibytes: int) -> str:
    told = hashlib.sha256()
    for piece in content(name, mebibytes):
        told.update(piece)
    return told.hexdigest()


async def _pieces(name: str, mebibytes: int) -> AsyncIterator[bytes]:
    for piece in content(name, mebibytes):
        yield piece


def store_of(place: Mapping[str, str]) -> FileStore:
    """The store of a place: a folder, or a bucket at an address."""
    if "folder" in place:
        return LocalStore(Path(place["folder"]))
    settings = S3Settings(
        bucket=place["bucket"],
        endpoint_url=place["url"],
        access_key_id=SecretStr(place["key"]),
        secret_access_key=SecretStr(place["secret"]),
        create_bucket=True,
    )
    return S3StorageClient(settings)


def index_at(folder: Path) -> tuple[RAGClient, LanceStore, LanceFolder]:
    """A client with one local source over `folder/docs`, its index beside it."""
    lance = LanceFolder(folder / "index")
    store = LanceStore(lance, "docs")
    root = str(folder / "docs")
    manifest = ManifestFile(folder / "index", "docs")
    indexer = Indexer("docs", [root], store=store, manifest=manifest, chunk_tokens=40, max_file_bytes=10**6)
    retriever = LocalRetriever("docs", store=store, min_score=0.0)
    source = Source(LocalSource(path=[root]), retriever, indexer, store)
    return RAGClient({"docs": source}, RagSettings()), store, lance


async def _upload(place: Mapping[str, str], first: int, mebibytes: int) -> None:
    """Store files for ever; each line says what was promised."""
    store = store_of(place)
    for number in range(first, first + 10_000):
        # Each third takes the place of the one before.
        key, name = f"k{number - (number % 3 == 2)}", f"n{number}"
        print(f"begun {key} {name}", flush=True)
        await store.put(draft(key, name=name), _pieces(name, mebibytes))
        print(f"stored {key} {name}", flush=True)


async def _ingest(folder: Path) -> None:
    client, _, _ = index_at(folder)
    print("begun docs docs", flush=True)
    await client.ingest("docs")
    print("stored docs docs", flush=True)


class Victim:
    """A process that works until it is killed."""

    def __init__(self, *arguments: str, module: str = "tests.campaigns.uploads") -> None:
        command = [sys.executable, "-m", module, "--victim", *arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | _QUIET)

    def killed_after(self, seconds: float) -> list[list[str]]:
        """Kill it so many seconds after it has begun; what it had said by then, in words."""
        out = self._process.stdout
        assert out is not None
        ready, _, _ = select.select([out], [], [], STARTED_SECONDS)
        assert ready, "the process did not begin"
        first = out.readline()
        time.sleep(seconds)  # the moment of the kill is what is random
        self._process.send_signal(signal.SIGKILL)
        rest = out.read()
        self._process.wait()
        out.close()
        return [line.split() for line in (first + rest).decode().splitlines() if line.count(" ") == 2]


_QUIET = {"PYTHONUNBUFFERED": "1"}


class Uploads:
    """What was promised by a store, and what is found of it after each kill."""

    def __init__(self, place: Mapping[str, str], *, mebibytes: int, seed: int) -> None:
        self._place = place
        self._mebibytes = mebibytes
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self._next = 0
        # What may stand under each key: the last that was promised, and what was on its way.
        self.promised: dict[str, str] = {}
        self.found: list[str] = []
        self.left = Leftovers()

    async def round(self) -> None:
        words = ["uploads", str(self._next), str(self._mebibytes)]
        victim = Victim(*words, *(f"{name}={value}" for name, value in self._place.items()))
        said = await asyncio.to_thread(victim.killed_after, self._chance.uniform(0, LATEST_SECONDS))
        self._next += 3 * len(said) + 3
        cut: dict[str, str] = {}
        for word, key, name in said:
            if word == "stored":
                self.promised[key] = name
            else:
                cut[key] = name
        await self._judged(cut)

    async def _judged(self, cut: Mapping[str, str]) -> None:
        store = store_of(self._place)
        try:
            until = datetime.now(UTC) + timedelta(days=1)
            dry = await store.reconcile(until, remove=False)
            done = await store.reconcile(until, remove=True)
            if (dry.pieces, dry.records) != (done.pieces, done.records):
                self.found.append(f"a dry run finds {dry}, and a real one {done}")
            self.left = Leftovers(self.left.pieces + done.pieces, self.left.bytes + done.bytes)
            if await store.reconcile(until, remove=False) != Leftovers():
                self.found.append("something is left after a reconcile")
            for key in {*self.promised, *cut}:
                await self._look_at(store, key, {self.promised.get(key, ""), cut.get(key, "")})
            usage = await store.usage(ADA)
            known = [key async for key in _keys(store)]
            if usage.files != len(known) or usage.bytes != len(known) * self._mebibytes * MIB:
                self.found.append(f"{usage} is counted, {len(known)} files are listed")
            for key in known:  # a bucket in memory must not grow
                self.promised.pop(key, None)
                await store.delete(ADA, key)
            self.found += [f"'{path}' is left" for path in self._on_disk()]
        finally:
            await store.aclose()

    async def _look_at(self, store: FileStore, key: str, names: set[str]) -> None:
        told, size = hashlib.sha256(), 0
        try:
            info = await store.info(ADA, key)
            async for chunk in store.open(ADA, key):
                told.update(chunk)
                size += len(chunk)
        except FileNotFound:
            if key in self.promised:
                self.found.append(f"file {key} was promised and is not there")
            return
        if told.hexdigest() != info.etag or size != info.size:
            self.found.append(f"file {key} has {size} of {info.size} bytes, or others than it says")
        if info.name not in names or info.etag != digest_of(info.name, self._mebibytes):
            self.found.append(f"file {key} is '{info.name}', which nobody stored there last")

    def _on_disk(self) -> list[str]:
        if "folder" not in self._place:
            return []
        return [path.name for path in Path(self._place["folder"]).rglob("*") if path.is_file()]


async def _keys(store: FileStore) -> AsyncIterator[str]:
    async for info in store.scan(ADA):
        yield info.key


class Ingests:
    """An index that is made while its maker is killed again and again."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self.found: list[str] = []
        self.partly = 0
        self._whole: dict[str, int] = {}
        # How long an ingest takes here that nobody kills.
        self._longest = LATEST_SECONDS

    async def prepare(self) -> None:
        """Documents, and how many chunks each has in an index that nobody disturbed."""
        self._write("first")
        undisturbed = self._folder.with_name(self._folder.name + "-whole")
        undisturbed.mkdir()
        (undisturbed / "docs").symlink_to(self._folder / "docs")
        client, store, lance = index_at(undisturbed)
        began = time.monotonic()
        await client.ingest("docs")
        self._longest = time.monotonic() - began
        self._whole = await self._counts(store)
        lance.close()

    async def round(self, number: int) -> None:
        victim = Victim("ingests", str(self._folder))
        await asyncio.to_thread(victim.killed_after, self._chance.uniform(0, self._longest))
        client, store, lance = index_at(self._folder)
        counts = await self._counts(store)
        half = {name: n for name, n in counts.items() if n not in (0, self._whole[name])}
        self.partly += 0 < sum(map(bool, counts.values())) < len(counts)
        self.found += [f"{name} has {n} of {self._whole[name]} chunks" for name, n in half.items()]
        await client.ingest("docs")
        after = await self._counts(store)
        if after != self._whole:
            self.found.append("the next ingest did not make the index whole")
        lance.close()
        self._write(f"again {number}")  # the next round has something to do

    def _write(self, word: str) -> None:
        (self._folder / "docs").mkdir(exist_ok=True)
        for number in range(DOCUMENTS):
            sections = (f"## Part {n}\n\nqx{number:03}qx of bay {n}: {word}.\n" for n in range(SECTIONS))
            (self._folder / "docs" / f"d{number:03}.md").write_text("\n".join(sections))

    async def _counts(self, store: LanceStore) -> dict[str, int]:
        found: dict[str, int] = {}
        for number in range(DOCUMENTS):
            hits = await store.find([f"qx{number:03}qx"], limit=1000)
            versions = {hit.chunk.text.rpartition(": ")[2] for hit in hits}
            if len(versions) > 1:
                self.found.append(f"d{number:03} is of several versions: {sorted(versions)}")
            found[f"d{number:03}"] = len({hit.chunk.id for hit in hits})
        return found


async def uploads(place: Mapping[str, str], *, kills: int, mebibytes: int, seed: int) -> Uploads:
    """So many kills of uploads to a place."""
    campaign = Uploads(place, mebibytes=mebibytes, seed=seed)
    for _ in range(kills):
        await campaign.round()
    return campaign


async def ingests(folder: Path, *, kills: int, seed: int) -> Ingests:
    """So many kills of ingests into an index in a folder."""
    campaign = Ingests(folder, seed=seed)
    await campaign.prepare()
    for number in range(kills):
        await campaign.round(number)
    return campaign


def bucket_of(server: S3Server, name: str) -> dict[str, str]:
    """A place in a bucket of a test server."""
    settings: Any = server.settings(name)
    key, secret = settings.access_key_id.get_secret_value(), settings.secret_access_key.get_secret_value()
    return {"bucket": name, "url": settings.endpoint_url, "key": key, "secret": secret}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.campaigns.uploads")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--store", choices=("local", "s3"), default="local")
    parser.add_argument("--what", choices=("uploads", "ingests"), default="uploads")
    parser.add_argument("--mebibytes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        campaign: Uploads | Ingests
        if given.what == "ingests":
            (folder / "rag").mkdir()
            campaign = asyncio.run(ingests(folder / "rag", kills=given.kills, seed=given.seed))
            told = f"{campaign.partly} left a part of the documents"
        else:
            place = {"folder": str(folder)}
            if given.store == "s3":
                place = bucket_of(stack.enter_context(S3Server()), "campaign")
            one = uploads(place, kills=given.kills, mebibytes=given.mebibytes, seed=given.seed)
            campaign = asyncio.run(one)
            told = f"{campaign.left.pieces} pieces of {campaign.left.bytes} bytes were reconciled"
    print(f"{given.kills} kills of {given.what} ({given.store}, seed {given.seed}): {told}")
    for problem in campaign.found:
        print(problem)
    return 1 if campaign.found else 0


def victim(arguments: list[str]) -> None:
    """What the process does that is killed."""
    what, first, *rest = arguments
    if what == "ingests":
        asyncio.run(_ingest(Path(first)))
        time.sleep(600)  # its killer comes
    else:
        place = dict(one.split("=", 1) for one in rest[1:])
        asyncio.run(_upload(place, int(first), int(rest[0])))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--victim"]:
        victim(sys.argv[2:])
    else:
        sys.exit(main())
