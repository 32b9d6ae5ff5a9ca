"""What every Reranker promises."""

from __future__ import annotations

from nodes.rag.models import Chunk, Hit
from nodes.rag.ports import Reranker

QUESTION = "train journeys second class"
TEXTS = (
    "Passwords are rotated every ninety days.",
    "Receipts of journeys are kept for one year.",
    "All train journeys are booked in second class.",
)


def hits(*texts: str) -> list[Hit]:
    """A hit per text, the first one the best so far."""
    return [
        Hit(
            Chunk(f"c{n}", f"d{n}.md", f"Title {n}", text, text.lower(), 0, len(text), f"d{n}.md"), 1 - n / 10
        )
        for n, text in enumerate(texts)
    ]


class RerankerContract:
    """Give the fixture `reranker`."""

    async def test_what_bears_on_the_question_comes_first(self, reranker: Reranker) -> None:
        found = await reranker.rerank(QUESTION, hits(*TEXTS))
        assert [hit.chunk.text for hit in found] == [TEXTS[2], TEXTS[1], TEXTS[0]]

    async def test_the_scores_are_those_of_the_new_order(self, reranker: Reranker) -> None:
        scores = [hit.score for hit in await reranker.rerank(QUESTION, hits(*TEXTS))]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)

    async def test_nothing_is_lost_and_nothing_is_added(self, reranker: Reranker) -> None:
        given = hits(*TEXTS)
        found = await reranker.rerank(QUESTION, given)
        assert sorted(hit.chunk.id for hit in found) == sorted(hit.chunk.id for hit in given)

    async def test_nothing_and_one_alone_stay_what_they_are(self, reranker: Reranker) -> None:
        assert await reranker.rerank(QUESTION, []) == []
        assert [hit.chunk.text for hit in await reranker.rerank(QUESTION, hits(TEXTS[0]))] == [TEXTS[0]]
