"""A word that an index does not hold is looked for as what it was meant to be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.chunking import chunk_document
from nodes.rag.fake import MemoryStore
from nodes.rag.local import LocalRetriever
from nodes.rag.ports import ChunkStore
from nodes.rag.settings import RagSettings
from nodes.rag.terms import asked
from nodes.rag.vocabulary import Synonyms, Vocabularies, Vocabulary

TEXTS = {
    "database.md": "# The database\n\nPostgres needs a connection string.",
    "leave.md": "# Leave\n\nThirty days of leave a year.",
    "threads.md": "# Threads\n\nA thread is kept for ninety days.",
    "kueche.md": "# Küche\n\nDie Reise zur Küche ist kurz. Kosten trägt die Firma.",
    "report.md": "# Threads\n\nThread, thread, thread.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LanceFolder]:
    found = LanceFolder(tmp_path / "index")
    yield found
    found.close()


@pytest.fixture(params=["memory", "lance"])
async def store(request: pytest.FixtureRequest, folder: LanceFolder) -> ChunkStore:
    made: ChunkStore = MemoryStore() if request.param == "memory" else LanceStore(folder, "s")
    for name, text in TEXTS.items():
        language = "german" if name == "kueche.md" else "english"
        await made.replace([name], chunk_document(name, text, chunk_tokens=50, language=language))
    return made


async def found(
    store: ChunkStore, question: str, *, synonyms: Sequence[Sequence[str]] = (), behind: Sequence[str] = ()
) -> list[str]:
    retriever = LocalRetriever(
        "s",
        store=store,
        min_score=RagSettings().min_score,
        languages=lambda: ("english", "german"),
        synonyms=synonyms,
        behind=behind,
    )
    return [p.document for p in await retriever.search(question, limit=3, as_user="ada")]


@pytest.mark.parametrize("question", ["postgers conection", "the postgress string", "conecction string"])
async def test_a_misspelt_word_is_found(store: ChunkStore, question: str) -> None:
    assert (await found(store, question))[:1] == ["database.md"]


async def test_a_compound_is_found_by_its_parts(store: ChunkStore) -> None:
    assert (await found(store, "Reisekosten Firma"))[:1] == ["kueche.md"]


async def test_a_word_that_is_like_nothing_stays_unfound(store: ChunkStore) -> None:
    assert await found(store, "zeppelin") == []


async def test_what_people_call_otherwise_is_found_by_its_other_names(store: ChunkStore) -> None:
    question = "holidays of a chat kept"
    assert "leave.md" not in await found(store, question)
    names = [["leave", "holiday"], ["thread", "chat"], ["database", "data store"]]
    assert {"leave.md", "threads.md"} <= set(await found(store, question, synonyms=names))


async def test_documents_that_stand_behind_come_after_others(store: ChunkStore) -> None:
    assert (await found(store, "thread"))[0] == "report.md"
    assert (await found(store, "thread", behind=["rep*.md"]))[0] == "threads.md"


def test_a_name_of_several_words_is_meant_only_where_all_of_them_stand() -> None:
    names = Synonyms([["leave", "paid time off"]])
    words = asked("when is paid time off", ["english"])
    assert names.further(words, ["english"]) == ["leav"]
    assert names.further(asked("time of departure", ["english"]), ["english"]) == []
    assert names.further(asked("leave", ["english"]), ["english"]) == ["paid", "time"]
    assert Synonyms([]).further(words, ["english"]) == []


async def test_rare_words_tell_more_and_unknown_ones_most(store: ChunkStore) -> None:
    known = await Vocabularies(store).current()
    assert known.chunks == len(TEXTS)
    assert known.rarity(["thread"]) < known.rarity(["postgr"]) < known.rarity(["zeppelin"])


async def test_it_is_read_again_when_the_index_has_grown_or_changed_long_ago(store: ChunkStore) -> None:
    now = 0.0
    known = Vocabularies(store, clock=lambda: now)
    assert not (await known.current()).holds(["kite"])
    for n in range(3):
        await store.replace([f"{n}.md"], chunk_document(f"{n}.md", f"Kites {n}.", chunk_tokens=50))
    assert (await known.current()).holds(["kite"])
    await store.replace(["9.md"], chunk_document("9.md", "Boats.", chunk_tokens=50))
    assert not (await known.current()).holds(["boat"])
    now = 60.0
    assert (await known.current()).holds(["boat"])


async def test_of_a_large_index_a_part_is_looked_at(folder: LanceFolder) -> None:
    store = LanceStore(folder, "large")
    chunks = [c for n in range(400) for c in chunk_document(f"{n}.md", f"Kite number {n}.", chunk_tokens=50)]
    await store.replace([c.document for c in chunks], chunks)
    counts, looked_at = await store.term_counts(most=100)
    assert 50 < looked_at < 200
    assert counts["kite"] == looked_at


async def test_an_index_of_nothing_has_no_words(folder: LanceFolder) -> None:
    assert await LanceStore(folder, "none").term_counts(most=10) == ({}, 0)
    assert Vocabulary({}, 0, 0).meant([("kite",)]) == []


def test_short_words_and_numbers_are_not_corrected() -> None:
    words = Vocabulary({"port": 1, "20015": 1, "plumber": 3, "plumbed": 1}, 9, 9)
    assert words.meant([("post",), ("20016",)]) == []
    assert words.meant([("plumbe",)]) == ["plumber"]
    assert words.meant([("lpumber",)]) == []
    assert math.isclose(words.rarity(["nothing"]), math.log(1 + 9.5 / 0.5))
