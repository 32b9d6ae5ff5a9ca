"""Quotas hold over processes: what is on its way anywhere counts, and what will never come does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from core.access import Principal
from nodes.file_storage import FileManager, S3StorageClient
from nodes.file_storage.accounts import (
    AHEAD_BYTES,
    COUNTED_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    LINK_SECONDS,
    MOST_LATE,
    WRONG_SECONDS,
    Account,
    Coming,
    account_from,
    link_token,
)
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.adapters.notes import NOTES
from nodes.file_storage.errors import FileNotFound, FileTooLarge, StorageFull, StorageUnavailable
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.models import DirectUpload, FileInfo
from nodes.file_storage.naming import owner_folder
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import WEEK_SECONDS, FileStorageSettings, QuotaSettings
from nodes.file_storage.totals import RENEW_SECONDS, Totals
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.contracts.file_store import chunks, draft
from waystation.testing.s3 import S3Server

ADA = Principal("ada")
KIB = 1024
DIGEST = "0" * 64


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


class Direct(MemoryStore):
    """A store that clients send files to themselves."""

    async def presign_upload(self, draft: FileInfo, seconds: int) -> DirectUpload:
        return DirectUpload("https://bucket.example", {}, seconds)


def manager(store: FileStore, clock: Clock | None = None, **settings: object) -> FileManager:
    made = FileStorageSettings.model_validate(settings)
    files = FileManager(
        store, signer=LinkSigner("x" * 32), host=FixedHost("https://files.example"), settings=made
    )
    if clock is not None:
        files._totals.now = clock  # time passes as the test says
    return files


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(params=["local", "s3"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, server: S3Server
) -> AsyncIterator[tuple[FileStore, FileStore]]:
    """One place, as two processes see it."""
    if request.param == "local":
        yield LocalStore(tmp_path), LocalStore(tmp_path)
        return
    settings = server.settings(f"b-{uuid.uuid4().hex}")
    one, two = S3StorageClient(settings), S3StorageClient(settings)
    yield one, two
    await one.aclose()
    await two.aclose()


async def test_two_processes_never_pass_a_quota_together(stores: tuple[FileStore, FileStore]) -> None:
    one, two = (manager(store, user_bytes=100, user_files=9) for store in stores)

    async def send(number: int) -> bool:
        try:
            # Were their sizes not announced, each might come half way and find the rest taken.
            await (one, two)[number % 2].put(ADA, "a", b"x" * 30)
        except StorageFull:
            return False
        return True

    assert sum(await asyncio.gather(*(send(number) for number in range(8)))) == 3
    assert (await one.stats(ADA)).bytes == 90
    with pytest.raises(StorageFull, match="would have 101 bytes"):
        await two.put(ADA, "a", b"x" * 11)
    await two.put(ADA, "a", b"x" * 10)
    # By its size: within a second, a bucket's files have no order of their time.
    larger = next(file for file in await one.list(ADA) if file.size == 30)
    await one.delete(ADA, larger.key)
    await two.put(ADA, "a", b"x" * 30)
    assert (await two.stats(ADA)).bytes == 100


_UPLOADING = """
import asyncio, sys
from pathlib import Path
from core.access import Principal
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.settings import FileStorageSettings
from nodes.file_storage.totals import Totals

async def main():
    totals = Totals(LocalStore(Path(sys.argv[1])), FileStorageSettings(user_bytes=100))
    async with totals.room(Principal("ada"), "k1", at_least=90):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_process_that_is_killed_gives_its_room_back_at_once(tmp_path: Path) -> None:
    files = manager(LocalStore(tmp_path), user_bytes=100)
    command = [sys.executable, "-c", _UPLOADING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as uploading:
        assert uploading.stdout is not None
        assert uploading.stdout.readline() == "held\n"
        with pytest.raises(StorageFull, match="would have 101 bytes"):
            await files.put(ADA, "a", b"x" * 11)
        os.kill(uploading.pid, signal.SIGKILL)
    await files.put(ADA, "a", b"x" * 100)


async def test_room_of_another_machine_comes_back_when_nothing_is_heard_of_its_upload() -> None:
    store, clock = MemoryStore(), Clock()
    files = manager(store, clock, user_bytes=100)
    elsewhere = Account(counted=clock.time).holding(
        "there:1:a", Coming("k1", 90, clock.time + LEASE_SECONDS), QuotaSettings(bytes=100), clock.time
    )
    await store.change_note(ADA.id, lambda _: elsewhere.written())
    with pytest.raises(StorageFull):
        await files.put(ADA, "a", b"x" * 20)
    # It was stored, and its process died before it could say so.
    await store.put(draft("k1", owner=ADA.id), chunks(b"x" * 90))
    clock.time += LEASE_SECONDS + 1
    with pytest.raises(StorageFull, match="would have 110 bytes"):
        await files.put(ADA, "a", b"x" * 20)
    await files.put(ADA, "a", b"x" * 10)


@pytest.mark.parametrize("token", ["there:1:a", "ended:there:1:a", "link:k1"])
async def test_what_a_wrong_clock_wrote_locks_nobody_out(token: str) -> None:
    store, clock = MemoryStore(), Clock()
    files = manager(store, clock, user_bytes=100)
    ahead = clock.time + WEEK_SECONDS + LINK_SECONDS + WRONG_SECONDS + 1
    wrong = Account(9, 90, ahead, {token: Coming("k1", 90, ahead)}, {"there:1:b": ahead}, {"k2": 90})
    await store.change_note(ADA.id, lambda _: wrong.written())
    await files.put(ADA, "a", b"x" * 100)
    kept = await files._totals.change(ADA.id, lambda found: found)
    assert (kept.files, kept.size, dict(kept.coming), dict(kept.counting)) == (1, 100, {}, {})


def test_of_links_that_are_over_the_last_ones_are_known_and_of_those_that_are_not_all() -> None:
    now = LATE_SECONDS
    over = {link_token(f"k{number}"): Coming("k", 1, float(number)) for number in range(1, MOST_LATE + 11)}
    living = {link_token(f"n{number}"): Coming("n", 1, now + 1) for number in range(MOST_LATE + 10)}
    swept = Account(coming={**over, **living}).swept(now, lambda _: False)
    assert len(swept.coming) == MOST_LATE + len(living)
    assert set(over) - set(swept.coming) == {link_token(f"k{number}") for number in range(1, 11)}


async def test_a_deletion_that_could_not_be_written_down_gives_its_room_back_all_the_same() -> None:
    class Away(MemoryStore):
        is_away = False

        async def change_note(self, owner: str, change: Callable[[bytes], bytes]) -> bool:
            if self.is_away:
                raise StorageUnavailable("away")
            return await super().change_note(owner, change)

    store = Away()
    files = manager(store, Clock(), user_bytes=100)
    kept = await files.put(ADA, "a", b"x" * 90)
    store.is_away = True
    await files.delete(ADA, kept.key)
    store.is_away = False
    await files.put(ADA, "a", b"x" * 100)
    with pytest.raises(StorageFull):
        await files.put(ADA, "a", b"x")


async def test_an_upload_that_goes_on_keeps_its_room_and_one_that_was_held_up_takes_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, clock = MemoryStore(), Clock()
    totals = Totals(store, FileStorageSettings(user_bytes=100), clock=clock)
    monkeypatch.setattr("nodes.file_storage.totals.RENEW_SECONDS", 0.0)

    async def until() -> float:
        account = await totals.change(ADA.id, lambda found: found)
        return max((one.until for one in account.coming.values()), default=0.0)

    async with totals.room(ADA, "k1", at_least=60) as room:
        clock.time += RENEW_SECONDS
        async with asyncio.timeout(A_BUSY_MACHINE_S):
            while await until() < clock.time + LEASE_SECONDS:  # noqa: ASYNC110 - the renewing runs meanwhile
                await asyncio.sleep(0)
    monkeypatch.undo()
    async with totals.room(ADA, "k2", at_least=60) as room:
        clock.time += LEASE_SECONDS + 1
        async with totals.room(ADA, "k3", at_least=60) as other:
            await store.put(draft("k3", owner=ADA.id), chunks(b"x" * 60))
            await other.stored(await store.info(ADA.id, "k3"))
        with pytest.raises(StorageFull, match="would have 120 bytes"):
            await room.confirm()


async def test_what_broke_off_leaves_its_room_unless_it_may_be_there_yet() -> None:
    store, clock = MemoryStore(), Clock()
    totals = Totals(store, FileStorageSettings(user_bytes=100), clock=clock)

    async def upload(error: BaseException, *, whole: bool) -> None:
        async with totals.room(ADA, "k1", at_least=90) as room:
            if whole:
                await room.confirm()
            raise error

    async def broken(error: BaseException, *, whole: bool) -> int:
        with pytest.raises(type(error)):
            await upload(error, whole=whole)
        return (await totals.change(ADA.id, lambda found: found)).used(clock.time).bytes

    assert await broken(asyncio.CancelledError(), whole=False) == 0
    assert await broken(FileTooLarge("x"), whole=True) == 0
    assert await broken(StorageUnavailable("x"), whole=True) == 90
    clock.time += LEASE_SECONDS + 1
    assert await broken(asyncio.CancelledError(), whole=True) == 90
    clock.time += LEASE_SECONDS + 1
    assert (await totals.change(ADA.id, lambda found: found)).used(clock.time).bytes == 0


async def test_a_store_that_keeps_no_notes_is_counted_by_each_process() -> None:
    class Plain(MemoryStore):
        async def change_note(self, *_: object) -> bool:
            return False

    store, clock = Plain(), Clock()
    files = manager(store, clock, user_bytes=100)
    await files.put(ADA, "a", b"x" * 60)
    with pytest.raises(StorageFull):
        await files.put(ADA, "a", b"x" * 60)
    await store.delete(ADA.id, (await files.list(ADA))[0].key)  # and nobody is told of it
    with pytest.raises(StorageFull):
        await files.put(ADA, "a", b"x" * 60)
    clock.time += COUNTED_SECONDS / 2
    await files.put(ADA, "a", b"x" * 60)


async def test_a_file_in_the_place_of_another_counts_once() -> None:
    files = manager(MemoryStore(), user_bytes=100, user_files=3)
    for size in (40, 50, 30):
        await files.put(ADA, "a", b"x" * size, key="same")
    await files.put(ADA, "b", b"x" * 70)
    assert (await files.stats(ADA)).bytes == 100


async def test_a_damaged_record_is_counted_anew(tmp_path: Path) -> None:
    files = manager(LocalStore(tmp_path), user_bytes=100)
    await files.put(ADA, "a", b"x" * 60)
    note = tmp_path / NOTES / owner_folder(ADA.id)
    for damaged in (b"{", b'{"files": "many"}', b"[]", b'{"coming": 5}', b""):
        note.write_bytes(damaged)
        with pytest.raises(StorageFull, match="would have 110 bytes"):
            await files.put(ADA, "a", b"x" * 50)


async def test_a_link_keeps_room_for_its_file_until_nothing_can_come_by_it() -> None:
    store, clock = Direct(), Clock()
    files = manager(store, clock, user_bytes=100, link_seconds=600)

    async def lent(size: int) -> FileInfo:
        return (await files.upload_link(ADA, "a", size=size, sha256=DIGEST))[0]

    first = await lent(60)
    with pytest.raises(StorageFull, match="would have 110 bytes"):
        await lent(50)
    with pytest.raises(StorageFull):
        await files.put(ADA, "b", b"x" * 50)
    await store.put(first, chunks(b"x" * 60))  # sent to the bucket
    assert (await files.uploaded(ADA, first.key)).size == 60
    assert (await files.uploaded(ADA, first.key)).size == 60
    await files.delete(ADA, first.key)  # and it may be sent again
    with pytest.raises(StorageFull):
        await lent(50)
    clock.time += 600 + LINK_SECONDS + 1
    await files.put(ADA, "b", b"x" * 50)


async def test_what_comes_by_a_link_too_late_is_kept_where_there_is_room_else_deleted() -> None:
    store, clock = Direct(), Clock()
    files = manager(store, clock, user_bytes=100, link_seconds=600)
    late, later = [(await files.upload_link(ADA, "a", size=40, sha256=DIGEST))[0] for _ in range(2)]
    clock.time += 600 + LINK_SECONDS + 1
    await files.put(ADA, "b", b"x" * 50)
    await store.put(late, chunks(b"x" * 40))
    assert (await files.uploaded(ADA, late.key)).size == 40
    await store.put(later, chunks(b"x" * 40))
    with pytest.raises(StorageFull, match="came without room kept for it, and was deleted"):
        await files.uploaded(ADA, later.key)
    with pytest.raises(FileNotFound):
        await files.info(ADA, later.key)
    await files.put(ADA, "b", b"x" * 10)
    assert (await files.stats(ADA)).bytes == 100


async def test_what_came_by_a_link_counts_without_being_told_of() -> None:
    store, clock = Direct(), Clock()
    files = manager(store, clock, user_bytes=100, link_seconds=600)
    sent, _ = await files.upload_link(ADA, "a", size=60, sha256=DIGEST)
    await store.put(sent, chunks(b"x" * 60))
    await files.put(ADA, "b", b"x" * 10)
    clock.time += 600 + LINK_SECONDS + 1
    with pytest.raises(StorageFull, match="would have 101 bytes"):
        await files.put(ADA, "b", b"x" * 31)
    await files.put(ADA, "b", b"x" * 30)


async def test_a_bucket_that_took_more_than_the_link_was_for_is_found_out() -> None:
    store = Direct()
    files = manager(store, user_bytes=200, max_bytes=90)
    small, large = [(await files.upload_link(ADA, "a", size=10, sha256=DIGEST))[0] for _ in range(2)]
    await store.put(small, chunks(b"x" * 90))
    assert (await files.uploaded(ADA, small.key)).size == 90
    await store.put(large, chunks(b"x" * 91))
    with pytest.raises(FileTooLarge, match="larger than 90 bytes"):
        await files.uploaded(ADA, large.key)
    assert [info.key for info in await files.list(ADA)] == [small.key]
    # What came in any other way is not judged, however much is allowed by now.
    plain = await files.put(ADA, "b", b"x" * 50)
    assert (await manager(store, user_bytes=1, max_bytes=1).uploaded(ADA, plain.key)).size == 50


def test_a_count_leaves_out_what_is_on_its_way_and_knows_what_happened_meanwhile() -> None:
    def dead(token: str) -> bool:
        return token == "dead"

    quota, now = QuotaSettings(bytes=1000, files=10), 100.0
    begun = Account(counted=50.0).holding("slow", Coming("slow", 10, now + 9), quota, now)
    begun = begun.begins_count("c1", now + 9).begins_count("c2", now + 9)
    begun = begun.holding("quick", Coming("quick", 20, now + 9), quota, now)
    begun = begun.stored("quick", "quick", size=20, before=None).deleted("gone")
    seen: Mapping[str, int] = {"old": 1, "gone": 5, "slow": 10}
    counted = begun.counted_as("c1", seen, now)
    assert (counted.files, counted.size, counted.counted) == (2, 21, now)
    # Another one who counts still knows it, and what is written reads the same.
    again = account_from(counted.written())
    assert again == counted
    assert again.counted_as("c2", {**seen, "quick": 20}, now) == Account(2, 21, now, counted.coming)
    # Of an upload that died nobody knows whether a count has seen its file.
    died = begun.holding("dead", Coming("dead", 5, now + 9), quota, now).swept(now, dead)
    assert died.counted_as("c1", seen, now) is died
    assert died.counted == 0.0
    assert begun.swept(now + 10, dead).counting == {}


def test_room_ahead_is_taken_only_while_it_is_little_of_what_is_left() -> None:
    def held(quota: int, upload: str = "a") -> int:
        made = Account(counted=1.0).holding(upload, Coming("k", 10, 9.0), QuotaSettings(bytes=quota), 1.0)
        return made.coming[upload].size

    assert held(1000) == 10
    assert held(8 * KIB * KIB) == 10 + (8 * KIB * KIB - 10) // 64
    assert held(10**12) == 10 + AHEAD_BYTES
    assert held(10**12, link_token("k")) == 10
