"""All files of an owner for lists in another order: only what changed is read again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.checks import draft_of, pieces
from nodes.file_storage.listings import MOST_KEPT, Listings
from nodes.file_storage.models import FileInfo
from nodes.file_storage.order import Spot
from tests.unit.nodes.file_storage.test_manager import ADA, BOB

LONG_AGO = 1_700_000_000


class Counted(LocalStore):
    """A folder that remembers which records were read for lists."""

    read: list[str]

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root, self.read = root, []

    def _records_of(self, owner: str, spots: Sequence[Spot]) -> list[FileInfo]:
        self.read += [key for _, key in spots]
        return super()._records_of(owner, spots)

    def age(self, seconds: int = 0) -> None:
        """Let every record be one that changed long ago."""
        for record in self.root.glob("*/*/meta.json"):
            os.utime(record, (LONG_AGO + seconds, LONG_AGO + seconds))


@pytest.fixture
def store(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


async def stored(store: LocalStore, name: str, key: str = "") -> str:
    draft = draft_of(ADA, name, None, None)
    taken = await store.put(replace(draft, key=key or draft.key), pieces(b"x"))
    return taken.key


async def test_a_page_more_reads_only_what_was_stored_changed_or_came_since(store: Counted) -> None:
    first, second, third = [await stored(store, f"{n}.txt") for n in range(3)]
    store.age()
    listings = Listings(store)
    assert {info.key for info in await listings.of("ada")} == {first, second, third}
    store.read.clear()
    assert {info.key for info in await listings.of("ada")} == {first, second, third}
    assert store.read == []
    await store.tag("ada", first, {"a": "b"})
    await store.delete("ada", second)
    await stored(store, "other.txt", third)
    last = await stored(store, "last.txt")
    found = {info.key: info for info in await listings.of("ada")}
    assert set(found) == {first, third, last}
    assert (found[first].tags, found[third].name) == ({"a": "b"}, "other.txt")
    assert sorted(store.read) == sorted([first, third, last])


async def test_what_changed_just_now_is_read_again_since_clocks_are_coarse(store: Counted) -> None:
    key = await stored(store, "a.txt")
    listings = Listings(store)
    await listings.of("ada")
    store.read.clear()
    await listings.of("ada")
    assert store.read == [key]


async def test_a_list_in_full_is_that_of_the_store_in_its_order(store: Counted) -> None:
    for n in range(5):
        await stored(store, f"{n}.txt")
    listings = Listings(store)
    for _ in range(2):
        assert list(await listings.of("ada")) == [info async for info in store.scan("ada")]
    assert list(await listings.of("bob")) == []


async def test_of_many_owners_those_asked_for_last_are_kept(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.file_storage.listings.MOST_KEPT", 1)
    assert MOST_KEPT > 1
    key = await stored(store, "a.txt")
    await store.put(draft_of(BOB, "b.txt", None, None), pieces(b"x"))
    store.age()
    listings = Listings(store)
    for owner in ("ada", "bob", "ada"):
        await listings.of(owner)
    assert store.read.count(key) == 2
