"""What every Retriever promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.health import HealthState
from nodes.rag.ports import Retriever
from waystation.testing.rag_server import CORPUS

DOCUMENTS = CORPUS["handbook"]
QUESTION = "How many days of annual leave does an employee have?"


class RetrieverContract:
    """Give the fixture `retriever`: the source `handbook`, with DOCUMENTS in it."""

    async def test_the_best_passage_comes_first_and_names_source_and_document(
        self, retriever: Retriever
    ) -> None:
        first = (await retriever.search(QUESTION, limit=4, as_user="ada"))[0]
        assert (first.source, first.document) == ("handbook", "leave.md")
        assert "thirty days of annual leave" in first.text

    async def test_a_passage_is_word_for_word_what_the_document_says(self, retriever: Retriever) -> None:
        for passage in await retriever.search(QUESTION, limit=4, as_user="ada"):
            assert passage.text in DOCUMENTS[passage.document]

    async def test_no_passage_tells_a_path_of_a_machine(self, retriever: Retriever, tmp_path: Path) -> None:
        for passage in await retriever.search(QUESTION, limit=4, as_user="ada"):
            shown = f"{passage.document} {passage.title} {passage.uri}"
            assert not re.search(r"(^|\s)[/\\]", shown)
            assert str(tmp_path) not in shown

    async def test_there_are_never_more_passages_than_asked_for(self, retriever: Retriever) -> None:
        query = "annual leave, train journeys, and passwords of laptops"
        assert len(await retriever.search(query, limit=10, as_user="ada")) >= 2
        assert len(await retriever.search(query, limit=1, as_user="ada")) == 1

    async def test_passages_come_best_first(self, retriever: Retriever) -> None:
        query = "annual leave, train journeys, and passwords of laptops"
        scores = [p.score for p in await retriever.search(query, limit=10, as_user="ada")]
        assert scores == sorted(scores, reverse=True)

    @pytest.mark.parametrize("query", ["zebra quantum", "What is 5 + 3?", "", "   "])
    async def test_what_nothing_bears_on_gives_no_passage(self, retriever: Retriever, query: str) -> None:
        assert list(await retriever.search(query, limit=4, as_user="ada")) == []

    @pytest.mark.parametrize(
        "query", ["'; DROP TABLE x; --", 'leave" AND (title:', "🙂 \ud7ff ﷽", "leave " * 5000]
    )
    async def test_any_text_may_be_asked(self, retriever: Retriever, query: str) -> None:
        for passage in await retriever.search(query, limit=4, as_user="ada"):
            assert passage.source == "handbook"

    async def test_it_says_that_it_is_well(self, retriever: Retriever) -> None:
        assert (await retriever.check()).state is HealthState.HEALTHY
