"""Uploads and downloads, as a share of the speed of a plain copy and of plain boto3 in the same run.

    python -m bench.files [--mebibytes 100] [--rounds 5] [--only local|s3]

A plain copy reads a file in pieces of a MiB and writes them; on the way in both end with the bytes
on disk (fsync), and one that hashes as well makes the same promise as ours. boto3 sends the file by
`upload_fileobj` and fetches it by `download_fileobj`, with its own defaults, from and to files; ours
goes through `FileManager`: checked, counted, hashed. The bucket is moto's server in a process of its
own. Each round does ours and the plain way, each first in turn; the share is the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from bench.report import Report, Row
from core.access import Principal
from nodes.file_storage import FileManager, S3StorageClient
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import FileStorageSettings, S3Settings
from waystation.testing.s3 import ACCESS_KEY, SECRET_KEY

MIB = 1024 * 1024
SHARE = 0.8
ADA = Principal("ada")
_SERVE = """
import sys
from waystation.testing.s3 import S3Server
with S3Server() as server:
    print(server.settings("bench").endpoint_url, flush=True)
    sys.stdin.read()
"""

Work = Callable[[], Awaitable[object]]


def made(folder: Path, mebibytes: int) -> Path:
    """A file of bytes that do not repeat."""
    path = folder / "source.bin"
    block = hashlib.sha256(b"waystation").digest() * (MIB // 32)
    with path.open("wb") as handle:
        for number in range(mebibytes):
            handle.write(number.to_bytes(8, "big") + block[8:])
    return path


def manager(store: FileStore) -> FileManager:
    settings = FileStorageSettings(max_bytes=5 * 1024**3)
    signer = LinkSigner("a secret of more than thirty-two characters")
    return FileManager(store, signer=signer, host=FixedHost("http://127.0.0.1"), settings=settings)


async def pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as handle:
        while piece := handle.read(MIB):
            yield piece


def copied(source: Path, target: Path, *, synced: bool, hashed: bool = False) -> None:
    told = hashlib.sha256()
    with source.open("rb") as one, target.open("wb") as other:
        while piece := one.read(MIB):
            other.write(piece)
            if hashed:
                told.update(piece)
        if synced:
            other.flush()
            os.fsync(other.fileno())


async def fetched(files: FileManager, key: str, target: Path) -> None:
    with target.open("wb") as handle:
        async for chunk in files.open(ADA, key):
            handle.write(chunk)


async def seconds(work: Work) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def shares(ours: Work, plain: Work, rounds: int) -> tuple[float, float]:
    """How fast ours is, as a share of the plain way; and the plain way's seconds."""
    found, took = list[float](), list[float]()
    for number in range(rounds + 1):
        first, second = (ours, plain) if number % 2 else (plain, ours)
        one, other = await seconds(first), await seconds(second)
        mine, theirs = (one, other) if number % 2 else (other, one)
        if number:  # the first round warms up
            found.append(theirs / mine)
            took.append(theirs)
    return statistics.median(found), statistics.median(took)


async def in_thread(work: Callable[[], object]) -> None:
    await asyncio.to_thread(work)


async def local(report: Report, folder: Path, source: Path, size: int, rounds: int) -> None:
    """A folder beside a plain copy."""
    rows = list[Row]()
    files = manager(LocalStore(folder / "files"))
    target = folder / "target.bin"
    kept = (await files.put(ADA, "a.bin", pieces(source))).key

    async def upload() -> None:
        await files.put(ADA, "a.bin", pieces(source), key=kept)

    hashing, _ = await shares(
        upload, lambda: in_thread(lambda: copied(source, target, synced=True, hashed=True)), rounds
    )
    rows.append(Row("local", "upload, share of one that hashes as well", hashing, "x", SHARE, least=True))
    up, took = await shares(upload, lambda: in_thread(lambda: copied(source, target, synced=True)), rounds)
    rows.append(Row("local", "upload, share of a plain copy with fsync", up, "x", SHARE, least=True))
    rows.append(Row("local", "  the plain copy", size / took / MIB, "MiB/s"))
    down, took = await shares(
        lambda: fetched(files, kept, folder / "mine.bin"),
        lambda: in_thread(lambda: copied(source, target, synced=False)),
        rounds,
    )
    rows.append(Row("local", "download, share of a plain copy", down, "x", SHARE, least=True))
    rows.append(Row("local", "  the plain copy", size / took / MIB, "MiB/s"))
    began = time.perf_counter()
    await files.copy(ADA, kept)
    rows.append(Row("local", "copy within the store", (time.perf_counter() - began) * 1000, "ms"))
    report.add("a folder", rows)


@contextmanager
def bucket() -> Iterator[S3Settings]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    try:
        yield S3Settings.model_validate(
            {
                "bucket": "bench",
                "endpoint_url": url,
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
                "create_bucket": True,
            }
        )
    finally:
        process.communicate("")


async def s3(report: Report, folder: Path, source: Path, size: int, rounds: int) -> None:
    """A bucket beside plain boto3."""
    target = folder / "target.bin"
    rows = list[Row]()
    with bucket() as settings:
        store = S3StorageClient(settings)
        files = manager(store)
        kept = (await files.put(ADA, "a.bin", pieces(source))).key
        session: Any = boto3.session.Session()  # type: ignore[no-untyped-call]  # boto3 has no types
        client = session.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

        def plain_up() -> None:
            with source.open("rb") as handle:
                client.upload_fileobj(handle, "bench", "plain")

        def plain_down() -> None:
            with target.open("wb") as handle:
                client.download_fileobj("bench", "plain", handle)

        async def upload() -> None:
            await files.put(ADA, "a.bin", pieces(source), key=kept)

        up, took = await shares(upload, lambda: in_thread(plain_up), rounds)
        rows.append(Row("s3", "upload, share of plain boto3", up, "x", SHARE, least=True))
        rows.append(Row("s3", "  plain boto3", size / took / MIB, "MiB/s"))
        down, took = await shares(
            lambda: fetched(files, kept, folder / "mine.bin"), lambda: in_thread(plain_down), rounds
        )
        rows.append(Row("s3", "download, share of plain boto3", down, "x", SHARE, least=True))
        rows.append(Row("s3", "  plain boto3", size / took / MIB, "MiB/s"))
        client.close()
        await store.aclose()
    report.add("a bucket", rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.files")
    parser.add_argument("--mebibytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("local", "s3"))
    given = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = made(folder, given.mebibytes)
        for part, work in (("local", local), ("s3", s3)):
            if given.only in (None, part):
                asyncio.run(work(report, folder, source, source.stat().st_size, given.rounds))
    return 0 if all(row.met is not False for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
