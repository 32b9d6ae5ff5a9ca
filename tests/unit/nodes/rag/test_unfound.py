"""Whoever asks and gets nothing is told why, in words, and what to try; only of what that person may see."""

from __future__ import annotations

import pytest

from nodes.rag import serving
from nodes.rag.chunking import chunk_document
from nodes.rag.fake import MemoryStore
from nodes.rag.local import LocalRetriever
from nodes.rag.models import UNFOUND, RAGResponse
from nodes.rag.unfound import no_word_held
from tests.unit.nodes.rag.corpus import HANDBOOK

OTHER_WORDS = "try other words for it, or name them under `synonyms` of the source"


async def why(question: str, documents: dict[str, str]) -> str:
    """What is told of a search that shows nothing."""
    store = MemoryStore()
    for name, text in documents.items():
        await store.replace([name], chunk_document(name, text, chunk_tokens=200))
    told: dict[str, str] = {}
    token = UNFOUND.set(told)
    try:
        found = await LocalRetriever("docs", store=store, min_score=0.35).search(
            question, limit=4, as_user="ada"
        )
    finally:
        UNFOUND.reset(token)
    assert list(found) == []
    return told["docs"]


@pytest.mark.parametrize("question", ["What is it?", "5 + 3"])
async def test_a_question_without_a_word_to_look_for_is_told(question: str) -> None:
    assert (await why(question, HANDBOOK)).startswith("there is no word in it to look for")


async def test_words_that_stand_nowhere_are_named_as_they_are_written() -> None:
    told = await why("the Kantine and its Preise", HANDBOOK)
    assert told == f"'Kantine', 'Preise' stand nowhere in what you may see; {OTHER_WORDS}"


async def test_what_is_nearest_and_says_too_little_is_named() -> None:
    told = await why("backups of the zeppelin fleet and its crew of acrobats", HANDBOOK)
    assert told.startswith("what is nearest to it, ")
    assert "'zeppelin'" in told
    assert "says too little of it" in told


async def test_an_index_in_which_one_sees_nothing_says_so() -> None:
    assert (await why("backups", {})).startswith("it has no passage that you may see")


def test_of_many_unknown_words_five_are_named() -> None:
    told = no_word_held(["a", "b", "c", "d", "e", "f", "g"])
    assert told.startswith("'a', 'b', 'c', 'd', 'e' and 2 more words stand nowhere")


def test_another_service_is_told_it_too() -> None:
    found = RAGResponse(nothing=(("docs", "why"),))
    answer = serving.raw("x", found, top_k=4, corpora=["docs"], ms=1)
    assert answer["metadata"]["nothing"] == [{"source": "docs", "reason": "why"}]
