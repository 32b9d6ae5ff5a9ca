"""The store finds of a part of an index what an index of that part alone would give."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from nodes.rag.adapters import lance_views
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.adapters.lance_vectors import EXACT_ROWS
from nodes.rag.models import Chunk
from nodes.rag.ports import View
from nodes.rag.views import view_of

ROWS = EXACT_ROWS + 1_000
NEAREST = [1.0] + [0.0] * 7
# Every hundredth document, and farther from the question than all others.
FEW = frozenset(f"it's/{n}" for n in range(0, ROWS, 100))
MUCH = view_of([f"it's/{n}" for n in range(ROWS)], lambda name: name not in FEW)
LITTLE = view_of([f"it's/{n}" for n in range(ROWS)], FEW.__contains__)


@pytest.fixture(scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LanceStore]:
    chance = random.Random(1)  # noqa: S311 - not for secrets
    folder = LanceFolder(tmp_path_factory.mktemp("views") / "index")
    made = LanceStore(folder, "s", model="m")
    chunks = [Chunk(f"{n:032x}", f"it's/{n}", "", "t", f"ledger entry {n}", 0, 1, "") for n in range(ROWS)]
    await made.replace([chunk.document for chunk in chunks], chunks)
    await made.attach(
        {
            chunk.id: [(-1.0 if chunk.document in FEW else 1.0), *(chance.uniform(-1, 1) for _ in range(7))]
            for chunk in chunks
        }
    )
    await made.settle()
    yield made
    folder.close()


def test_a_view_is_told_in_as_few_names_as_say_it() -> None:
    assert View(FEW, only=True) == LITTLE
    assert View(FEW, only=False) == MUCH
    assert view_of(["a"], lambda _: True).everything
    assert view_of([], lambda _: True) == View(frozenset(), only=True)


async def test_words_find_all_of_a_little_and_nothing_else(store: LanceStore) -> None:
    found = await store.find(["ledger"], limit=ROWS, view=LITTLE)
    assert {hit.chunk.document for hit in found} == FEW
    assert len(await store.find(["ledger"], limit=ROWS, view=MUCH)) == ROWS - len(FEW)


async def test_the_nearest_of_a_little_are_found_however_far_they_are(store: LanceStore) -> None:
    found = await store.near(NEAREST, limit=len(FEW), view=LITTLE)
    assert {hit.chunk.document for hit in found} == FEW


async def test_the_nearest_of_much_are_those_that_one_may_see(
    store: LanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_views, "LISTED", 10)
    opposite = [-1.0] + [0.0] * 7  # all that is nearest is for others
    found = await store.near(opposite, limit=50, view=MUCH)
    assert len(found) == 50
    assert FEW.isdisjoint(hit.chunk.document for hit in found)
    assert len(await store.near(NEAREST, limit=50, view=MUCH)) == 50
    few = await store.near(NEAREST, limit=len(FEW), view=LITTLE)
    assert {hit.chunk.document for hit in few} == FEW


async def test_counts_and_words_are_those_of_the_view(store: LanceStore) -> None:
    assert await store.size(view=LITTLE) == len(FEW)
    counts, looked_at = await store.term_counts(most=10**6, view=LITTLE)
    assert (looked_at, counts["ledger"], counts["100"]) == (len(FEW), len(FEW), 1)
    assert "101" not in counts
    _, some = await store.term_counts(most=100, view=MUCH)
    assert 0 < some < ROWS


async def test_one_who_sees_nothing_is_given_nothing(store: LanceStore) -> None:
    assert await store.find(["ledger"], limit=9, view=View(frozenset(), only=True)) == []
    assert await store.near(NEAREST, limit=9, view=View(frozenset(), only=True)) == []
