"""What every FileStore promises.

class TestMine(FileStoreContract):
    @pytest.fixture
    def store(self) -> FileStore:
        return MyStore()
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nodes.file_storage.errors import FileNotFound
from nodes.file_storage.models import FileInfo, Leftovers, OldFile, Usage
from nodes.file_storage.ports import FileStore

ADA, BOB = "ada@example.com", "bob"
LATER = timedelta(hours=1)


def draft(key: str, *, owner: str = ADA, **others: Any) -> FileInfo:
    values: dict[str, Any] = {
        "key": key,
        "name": "notes.txt",
        "size": 0,
        "media_type": "text/plain",
        "etag": "",
        "created": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "origin": "user",
        "thread": None,
        "tags": {},
        "owner": owner,
    }
    return FileInfo(**{**values, **others})


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: FileStore, owner: str, key: str, **span: int) -> bytes:
    return b"".join([chunk async for chunk in store.open(owner, key, **span)])


async def keys(store: FileStore, owner: str, **others: Any) -> list[str]:
    return [info.key async for info in store.scan(owner, **others)]


async def note(store: FileStore, owner: str) -> bytes:
    found: list[bytes] = []
    await store.change_note(owner, lambda kept: (found.append(kept), kept)[1])  # type: ignore[func-returns-value]
    return found[-1]


async def old(store: FileStore, until: datetime) -> dict[str, OldFile]:
    return {found.info.key: found async for found in store.unchanged_since(until)}


class FileStoreContract:
    """The suite. A subclass gives the fixture `store`: a new and empty one for each test."""

    def leftovers(self) -> Sequence[object]:
        """What an upload that broke off left behind, where a test can see that; override it."""
        return ()

    async def test_what_was_put_comes_back_with_size_and_digest(self, store: FileStore) -> None:
        put = await store.put(draft("k1"), chunks(b"hello ", b"world"))
        assert (put.size, put.etag) == (11, hashlib.sha256(b"hello world").hexdigest())
        assert await store.info(ADA, "k1") == put
        assert await read(store, ADA, "k1") == b"hello world"

    async def test_everything_known_of_a_file_survives(self, store: FileStore) -> None:
        put = await store.put(
            draft("k1", origin="tool", thread="t-1", tags={"kind": "räport", "n": "1"}), chunks(b"x")
        )
        found = await store.info(ADA, "k1")
        assert (found.origin, found.thread, found.tags) == ("tool", "t-1", {"kind": "räport", "n": "1"})
        assert found == put

    @pytest.mark.parametrize(
        "name",
        ["日本語 資料.csv", "😀 smile.png", "100% \"quoted\" & 'so'.txt", " a  b ", "資" * 85, "k=v;x,y"],
    )
    async def test_a_name_may_have_any_letters(self, store: FileStore, name: str) -> None:
        await store.put(draft("k1", name=name, tags={"t": "資" * 100}), chunks(b"x"))
        assert (await store.info(ADA, "k1")).name == name

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (0, 4, b"0123"),
            (3, 6, b"345"),
            (8, 99, b"89"),
            (10, None, b""),
            (50, 60, b""),
            (4, 4, b""),
            (6, 2, b""),
        ],
    )
    async def test_a_range_is_cut_to_the_file(
        self, store: FileStore, start: int, end: int | None, expected: bytes
    ) -> None:
        await store.put(draft("k1"), chunks(b"0123456789"))
        span = {"start": start} if end is None else {"start": start, "end": end}
        assert await read(store, ADA, "k1", **span) == expected

    async def test_an_empty_file_is_a_file(self, store: FileStore) -> None:
        put = await store.put(draft("k1"), chunks())
        assert put.size == 0
        assert await read(store, ADA, "k1") == b""
        assert await read(store, ADA, "k1", start=0, end=10) == b""
        assert await keys(store, ADA) == ["k1"]

    async def test_ten_megabytes_stream_through_in_pieces(self, store: FileStore) -> None:
        piece = bytes(range(256)) * 4096  # 1 MiB
        put = await store.put(draft("big"), chunks(*[piece] * 10))
        sizes, digest = [], hashlib.sha256()
        async for chunk in store.open(ADA, "big"):
            sizes.append(len(chunk))
            digest.update(chunk)
        assert (sum(sizes), digest.hexdigest()) == (put.size, put.etag) == (10 * len(piece), put.etag)
        assert max(sizes) <= len(piece)
        assert (
            await read(store, ADA, "big", start=5_000_000, end=5_000_003) == (piece * 5)[5_000_000:5_000_003]
        )

    async def test_a_reader_may_leave_in_the_middle(self, store: FileStore) -> None:
        await store.put(draft("big"), chunks(*[b"x" * 1_000_000] * 3))
        reader = store.open(ADA, "big")
        assert await anext(reader)
        await reader.aclose()
        assert (await store.info(ADA, "big")).size == 3_000_000

    async def test_pages_cover_every_file_once(self, store: FileStore) -> None:
        for n in range(25):
            await store.put(draft(f"k{n:02}"), chunks(b"x"))
        everything = [info.key for info in await store.listed(ADA, {})]
        assert sorted(everything) == [f"k{n:02}" for n in range(25)]
        assert everything == await keys(store, ADA)
        assert await keys(store, ADA, after=everything[9]) == everything[10:]
        assert await keys(store, ADA, after=everything[-1]) == []

    async def test_st4_a_place_in_the_list_holds_when_its_file_moves_or_goes(self, store: FileStore) -> None:
        for n in range(5):
            await store.put(draft(f"k{n}"), chunks(b"x"))
        listed = [info async for info in store.scan(ADA)]
        spots, rest = [(info.changed, info.key) for info in listed], [info.key for info in listed[3:]]
        assert await keys(store, ADA, after=spots[2]) == rest
        await store.delete(ADA, listed[2].key)
        assert await keys(store, ADA, after=spots[2]) == rest
        assert await keys(store, ADA, after=spots[-1]) == []

    async def test_going_on_after_an_unknown_key_is_refused(self, store: FileStore) -> None:
        await store.put(draft("k1"), chunks(b"x"))
        with pytest.raises(FileNotFound):
            await keys(store, ADA, after="gone")

    async def test_nobody_has_files_before_the_first(self, store: FileStore) -> None:
        assert await keys(store, "nobody") == []
        assert await store.usage("nobody") == Usage()

    async def test_owners_do_not_see_each_other(self, store: FileStore) -> None:
        await store.put(draft("k1", owner=ADA), chunks(b"ada's"))
        await store.put(draft("k1", owner=BOB), chunks(b"bob's"))
        await store.put(draft("k2", owner=BOB), chunks(b"more"))
        assert await read(store, ADA, "k1") == b"ada's"
        assert await keys(store, ADA) == ["k1"]
        await store.delete(BOB, "k1")
        assert await read(store, ADA, "k1") == b"ada's"
        with pytest.raises(FileNotFound):
            await store.info(ADA, "k2")

    @pytest.mark.parametrize(
        "other", ["Ada@example.com", "ada-example-com", "ada@example.com/", "../ada@example.com"]
    )
    async def test_owners_with_like_names_are_different(self, store: FileStore, other: str) -> None:
        await store.put(draft("k1"), chunks(b"x"))
        assert await keys(store, other) == []

    async def test_putting_the_same_key_again_replaces_the_file(self, store: FileStore) -> None:
        await store.put(draft("k1", name="old.txt"), chunks(b"a longer text"))
        await store.put(draft("k1", name="new.txt"), chunks(b"new"))
        info = await store.info(ADA, "k1")
        assert (info.name, info.size) == ("new.txt", 3)
        assert await read(store, ADA, "k1") == b"new"
        assert await store.usage(ADA) == Usage(files=1, bytes=3, owners=1)

    async def test_annotating_changes_the_thread_and_nothing_else(self, store: FileStore) -> None:
        put = await store.put(draft("k1", name="日本.txt", tags={"a": "b"}), chunks(b"content"))
        changed = await store.annotate(ADA, "k1", thread="t-9")
        assert changed.thread == "t-9"
        found = await store.info(ADA, "k1")
        assert found == changed
        assert (found.name, found.tags, found.etag) == (put.name, put.tags, put.etag)
        assert (found.created, found.media_type) == (put.created, "text/plain")
        assert await read(store, ADA, "k1") == b"content"
        assert (await store.annotate(ADA, "k1", thread=None)).thread is None

    async def test_tags_are_replaced_and_nothing_else_changes(self, store: FileStore) -> None:
        put = await store.put(draft("k1", thread="t-1", tags={"a": "b"}), chunks(b"content"))
        changed = await store.tag(ADA, "k1", {"kind": "räport", "year": "2026"})
        found = await store.info(ADA, "k1")
        assert found == changed
        assert found.tags == {"kind": "räport", "year": "2026"}
        assert (found.name, found.thread, found.etag) == (put.name, "t-1", put.etag)
        assert (await store.tag(ADA, "k1", {})).tags == {}
        assert await read(store, ADA, "k1") == b"content"

    async def test_a_copy_has_the_content_and_a_life_of_its_own(self, store: FileStore) -> None:
        put = await store.put(draft("k1", tags={"a": "b"}), chunks(b"the content"))
        made = await store.copy(ADA, "k1", draft("k2", owner=BOB, name="copy.txt", tags={"c": "d"}))
        assert (made.size, made.etag) == (put.size, put.etag)
        found = await store.info(BOB, "k2")
        assert found == made
        assert (found.name, found.tags, found.owner) == ("copy.txt", {"c": "d"}, BOB)
        await store.put(draft("k1"), chunks(b"something else"))
        assert await read(store, BOB, "k2") == b"the content"
        await store.delete(ADA, "k1")
        assert await read(store, BOB, "k2") == b"the content"
        assert await store.usage(BOB) == Usage(files=1, bytes=11, owners=1)
        assert await store.reconcile(datetime.now(UTC) + LATER, remove=True) == Leftovers()
        assert await read(store, BOB, "k2") == b"the content"

    async def test_a_copy_takes_the_place_of_the_file_that_has_its_key(self, store: FileStore) -> None:
        await store.put(draft("k1"), chunks(b"one"))
        await store.put(draft("k2"), chunks(b"two"))
        await store.copy(ADA, "k1", draft("k2"))
        assert await read(store, ADA, "k2") == b"one"
        assert await store.usage(ADA) == Usage(files=2, bytes=6, owners=1)

    async def test_a_deleted_file_is_gone(self, store: FileStore) -> None:
        await store.put(draft("k1"), chunks(b"x"))
        await store.delete(ADA, "k1")
        assert await keys(store, ADA) == []
        with pytest.raises(FileNotFound):
            await store.info(ADA, "k1")
        with pytest.raises(FileNotFound):
            await store.delete(ADA, "k1")
        await store.put(draft("k1"), chunks(b"again"))
        assert await read(store, ADA, "k1") == b"again"

    async def test_what_is_not_there_is_not_found(self, store: FileStore) -> None:
        for asked in (
            store.info(ADA, "none"),
            store.delete(ADA, "none"),
            store.annotate(ADA, "none", thread="t"),
            store.tag(ADA, "none", {}),
            store.copy(ADA, "none", draft("k2")),
            read(store, ADA, "none"),
            read(store, ADA, "none", start=2),
            read(store, ADA, "none", start=2, end=2),
        ):
            with pytest.raises(FileNotFound, match="none"):
                await asked

    async def test_tags_that_come_behind_the_content_are_those_of_the_file_or_refuse_it(
        self, store: FileStore
    ) -> None:
        came: dict[str, str] = {}

        async def content() -> AsyncIterator[bytes]:
            yield b"x" * 2_000_000
            came["kind"] = "report"

        def refused() -> dict[str, str]:
            raise ValueError("no tags at all")

        with pytest.raises(ValueError, match="no tags"):
            await store.put(draft("k1"), content(), tags=refused)
        assert await keys(store, ADA) == []
        assert not self.leftovers()
        put = await store.put(draft("k1"), content(), tags=lambda: came)
        assert (put.tags, (await store.info(ADA, "k1")).tags) == ({"kind": "report"}, {"kind": "report"})

    async def test_an_upload_that_breaks_off_leaves_nothing(self, store: FileStore) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 2_000_000
            raise ConnectionResetError("the client went away")

        with pytest.raises(ConnectionResetError):
            await store.put(draft("k1"), broken())
        assert await keys(store, ADA) == []
        assert await store.usage(ADA) == Usage()
        assert not self.leftovers()

    async def test_an_upload_that_breaks_off_keeps_the_file_that_was_there(self, store: FileStore) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionResetError("the client went away")

        await store.put(draft("k1"), chunks(b"whole"))
        with pytest.raises(ConnectionResetError):
            await store.put(draft("k1", name="other"), broken())
        assert (await store.info(ADA, "k1")).name == "notes.txt"
        assert await read(store, ADA, "k1") == b"whole"

    async def test_a_cancelled_upload_leaves_nothing(self, store: FileStore) -> None:
        waiting = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"half"
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.put(draft("k1"), endless()))
        async with asyncio.timeout(10):
            await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await keys(store, ADA) == []
        assert not self.leftovers()

    async def test_uploads_of_one_key_at_once_leave_one_whole_file(self, store: FileStore) -> None:
        contents = [bytes([65 + n]) * 200_000 for n in range(6)]
        await asyncio.gather(*(store.put(draft("k1"), chunks(content)) for content in contents))
        content = await read(store, ADA, "k1")
        assert content in contents
        assert (await store.info(ADA, "k1")).etag == hashlib.sha256(content).hexdigest()

    async def test_usage_counts_files_bytes_and_owners(self, store: FileStore) -> None:
        await store.put(draft("k1"), chunks(b"12345"))
        await store.put(draft("k2"), chunks(b"123"))
        await store.put(draft("k1", owner=BOB), chunks(b"1"))
        assert await store.usage(ADA) == Usage(files=2, bytes=8, owners=1)
        assert await store.usage(None) == Usage(files=3, bytes=9, owners=2)

    async def test_the_room_left_is_known_or_said_to_be_unknown(self, store: FileStore) -> None:
        free = await store.free_bytes()
        assert free is None or free > 0

    async def test_what_did_not_change_is_found_for_every_owner(self, store: FileStore) -> None:
        ada = await store.put(draft("k1", origin="tool", thread="t1"), chunks(b"x"))
        bob = await store.put(draft("k2", owner=BOB, tags={"a": "b"}), chunks(b"y"))
        now = datetime.now(UTC)
        assert await old(store, now - LATER) == {}
        found = await old(store, now + LATER)
        assert {key: each.info for key, each in found.items()} == {"k1": ada, "k2": bob}
        assert all(now - LATER < each.changed < now + LATER for each in found.values())

    async def test_a_discarded_file_is_gone_and_the_others_stay(self, store: FileStore) -> None:
        await store.put(draft("k1"), chunks(b"x"))
        await store.put(draft("k1", owner=BOB), chunks(b"bob's"))
        (mine,) = [f async for f in store.unchanged_since(datetime.now(UTC) + LATER) if f.info.owner == ADA]
        assert await store.discard(mine)
        assert await keys(store, ADA) == []
        assert await read(store, BOB, "k1") == b"bob's"
        assert not await store.discard(mine)

    @pytest.mark.parametrize("how", ["replaced", "annotated"])
    async def test_what_changed_since_it_was_found_is_not_discarded(self, store: FileStore, how: str) -> None:
        await store.put(draft("k1"), chunks(b"x"))
        found = await old(store, datetime.now(UTC) + LATER)
        if how == "replaced":
            await store.put(draft("k1", created=datetime.now(UTC)), chunks(b"new"))
        else:
            await store.annotate(ADA, "k1", thread="t9")
        assert not await store.discard(found["k1"])
        assert await keys(store, ADA) == ["k1"]

    async def test_a_sweep_may_discard_while_it_reads(self, store: FileStore) -> None:
        for n in range(20):
            await store.put(draft(f"k{n:02}", owner=f"owner-{n % 3}"), chunks(b"x"))
        async for found in store.unchanged_since(datetime.now(UTC) + LATER):
            assert await store.discard(found)
        assert await store.usage(None) == Usage()

    async def test_an_upload_past_us_is_offered_or_there_is_none(self, store: FileStore) -> None:
        found = await store.presign_upload(draft("k1", size=5, etag="0" * 64), 60)
        assert found is None or (found.url.startswith("http") and found.seconds == 60)
        assert await keys(store, ADA) == []

    async def test_the_size_of_each_file_of_an_owner_is_known(self, store: FileStore) -> None:
        await store.put(draft("k1"), chunks(b"12345"))
        await store.put(draft("k2"), chunks())
        await store.put(draft("k3", owner=BOB), chunks(b"1"))
        assert await store.sizes(ADA) == {"k1": 5, "k2": 0}

    async def test_a_note_is_changed_by_one_after_the_other_and_is_no_file(self, store: FileStore) -> None:
        if not await store.change_note(ADA, lambda found: found + b"x"):
            return
        await asyncio.gather(*(store.change_note(ADA, lambda found: found + b"x") for _ in range(20)))
        assert (await note(store, ADA), await note(store, BOB)) == (b"x" * 21, b"")
        assert await store.usage(None) == Usage()
        assert await store.reconcile(datetime.now(UTC) + LATER, remove=True) == Leftovers()
        await store.change_note(ADA, lambda found: found[:2])
        assert await note(store, ADA) == b"xx"

    async def test_the_breaker_is_closed_or_there_is_none(self, store: FileStore) -> None:
        breaker = store.breaker()
        assert breaker is None or breaker.state == "closed"
