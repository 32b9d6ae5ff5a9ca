"""Whether anything is shown: what the index says of a question, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from core.languages import is_english
from nodes.rag.adapters.bundled import NEARNESS, BundledEmbedder, installed
from nodes.rag.chunking import chunk_document
from nodes.rag.fake import MemoryStore
from nodes.rag.likelihood import Measures
from nodes.rag.local import LocalRetriever
from nodes.rag.models import Chunk
from nodes.rag.ports import Signs
from tests.unit.nodes.rag.test_vectors import Letters

TEXTS = {
    "mail.md": "Letters for Oslo leave at noon. The steamer Harald takes parcels on Mondays.",
    "post.md": "Parcels are weighed at the counter, and stamps are sold there, order 4711 by order.",
}
LIKELY = Measures(0.9, 0.6, 0.8, 0.5, 4, True, False, 5.0)


class Asks:
    """Says what it was told to, and keeps what it was asked."""

    def __init__(self, answer: float) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.signs: list[Signs] = []

    async def likelihood(self, question: str, passages: Sequence[Chunk], signs: Signs) -> float:
        self.asked.append(question)
        self.signs.append(signs)
        return self.answer


async def searched(question: str, judge: Asks, texts: Mapping[str, str] = TEXTS) -> list[str]:
    store, letters = MemoryStore(), Letters()
    for name, text in texts.items():
        made = chunk_document(name, text, chunk_tokens=50)
        vectors = await letters.embed([c.text for c in made])
        await store.replace([name], made)
        await store.attach(dict(zip((c.id for c in made), vectors, strict=True)))
    retriever = LocalRetriever(
        "s", store=store, min_score=0.3, embedder=letters, nearness=NEARNESS, judge=judge
    )
    return [p.document for p in await retriever.search(question, limit=2, as_user="ada")]


@pytest.mark.parametrize(
    ("question", "stranger"),
    [
        ("do parcels leave with the steamer Harald", False),
        ("do parcels leave with the steamer Bergensfjord", True),
        ("do parcels leave with the STEAMERS", False),
        ("Bergensfjord, when does it leave with parcels", False),
        ("when does the steamer Harold leave", False),
        ("is there an eBook about parcels", True),
    ],
)
async def test_a_name_that_the_index_does_not_hold_is_a_stranger(question: str, *, stranger: bool) -> None:
    judge = Asks(1.0)
    await searched(question, judge)
    assert [signs.stranger for signs in judge.signs] == [stranger]


async def test_what_one_passage_holds_of_the_question_is_told_to_the_judge() -> None:
    judge = Asks(0.0)
    assert await searched("parcels weighed where the moon hangs", judge) == []
    assert await searched("parcels weighed at the counter by noon tide", judge) == []
    less, more = (signs.held for signs in judge.signs)
    assert 0 < less < more < 1
    assert {signs.chunks for signs in judge.signs} == {2}
    assert all(0 < signs.near <= 1 for signs in judge.signs)


@pytest.mark.parametrize("question", ["parcels counter", "what about order 4711 then, pray"])
async def test_one_or_two_words_or_a_number_that_a_passage_holds_need_no_judge(question: str) -> None:
    judge = Asks(0.0)
    assert "post.md" in await searched(question, judge)
    assert judge.signs == []


PARTED = {
    "ferry.md": "# Boats\n\nThe steamer Harald sails on Mondays.\n\n# Fares\n\nA berth costs ninety crowns.",
    "post.md": "# Counter\n\nParcels are weighed, and stamps are sold there.",
}


async def test_two_words_in_different_passages_of_one_document_need_no_judge() -> None:
    judge = Asks(0.0)
    assert (await searched("steamer crowns", judge, PARTED))[:1] == ["ferry.md"]
    assert judge.signs == []


@pytest.mark.parametrize("question", ["steamer stamps", "steamer zeppelin", "steamer berth crowns"])
async def test_words_of_two_documents_unknown_ones_and_more_than_two_are_judged(question: str) -> None:
    judge = Asks(0.0)
    assert await searched(question, judge, PARTED) == []
    assert len(judge.signs) == 1


async def test_more_words_that_one_passage_holds_all_are_judged_as_well() -> None:
    judge = Asks(0.0)
    assert await searched("stamps sold counter parcels", judge) == []
    assert len(judge.signs) == 1


@pytest.mark.parametrize(
    ("question", "english"),
    [
        ("where are parcels weighed", True),
        ("parcels", True),
        ("Wie viel kostet das Paket", False),
        ("Was kostet es", False),
        ("Zahlt die Firma die Bahncard?", False),
        ("où est le colis", False),
        ("horaires le samedi", False),
    ],
)
def test_the_language_of_a_short_question_is_told_by_its_small_words(question: str, *, english: bool) -> None:
    assert is_english(question) is english


def test_each_measure_counts_in_its_direction() -> None:
    for less in (
        replace(LIKELY, covered=0.4),
        replace(LIKELY, stretch=0.1),
        replace(LIKELY, held=0.0),
        replace(LIKELY, near=0.1),
        replace(LIKELY, words=2),
        replace(LIKELY, stranger=True),
        replace(LIKELY, size=7.6),
    ):
        assert 0 < less.likelihood < LIKELY.likelihood < 1


@pytest.mark.slow
@pytest.mark.skipif(not installed(), reason="the extra `embed` is not installed")
async def test_a_passage_in_any_script_is_measured_by_its_stretches() -> None:
    embedder = BundledEmbedder()
    texts = {
        "how are tents sent": f"{'Stamps are sold here every day. ' * 6} Tents are sent by rail, on request.",
        "テントの送り方": f"{'切手は毎日ここで売られています。' * 6}テントは鉄道で送られます。",
    }
    for question, text in texts.items():
        [whole] = chunk_document("a.md", text, chunk_tokens=400)
        [part] = chunk_document("b.md", "Stamps are sold here every day. 切手は毎日。", chunk_tokens=400)
        signs = Signs(lambda _: 1.0, 0.5, 0.4, stranger=False, chunks=3)
        told, other = [await embedder.measures(question, [c], signs) for c in (whole, part)]
        assert told.stretch > other.stretch
        assert (told.held, told.near) == (0.5, 0.4)
    blank = replace(whole, text=" ")
    assert (await embedder.measures("tents", [blank], signs)).stretch == 0.0
    embedder.close()
