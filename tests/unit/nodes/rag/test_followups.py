"""Questions that need what was said before are searched for as they would be asked alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import structlog
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from core.access import Principal
from core.errors import Unavailable
from nodes.rag import RagSettings
from nodes.rag.followups import FollowUps, NobodyRewrites, Searched, depends
from nodes.rag.ports import Exchange

ADA = Principal("ada")
TALK: list[AnyMessage] = [
    HumanMessage("What does a berth cost?"),
    AIMessage("Twelve euros a night [1]."),
    HumanMessage("And how much is it in winter?"),
]


class Scripted:
    """Says one thing, and notes what it was asked."""

    def __init__(self, said: str | Exception | None = None) -> None:
        self._said = said
        self.asked: list[tuple[str, list[Exchange], str]] = []

    async def rewrite(
        self, question: str, earlier: Sequence[Exchange], *, model: str, principal: Principal
    ) -> str | None:
        self.asked.append((question, list(earlier), model))
        if isinstance(self._said, Exception):
            raise self._said
        if self._said == "hang":
            await asyncio.Event().wait()
        return self._said


async def searched(rewriter: Scripted, *messages: AnyMessage, **settings: object) -> Searched:
    follow_ups = FollowUps(RagSettings.model_validate(settings), rewriter)
    return await follow_ups.searched(messages or TALK, model="main", principal=ADA)


@pytest.mark.parametrize(
    "question",
    [
        "And how much is it in winter?", "Who may extend it?", "What about children?", "When do they open?",
        "Und im Winter?", "Wer darf ihn verlängern?", "Et en hiver ?", "¿Y en invierno?",
        "E quanto costa questo?",
        "それはいくらですか", "它多少钱？",
    ],
)  # fmt: skip
def test_what_needs_the_talk_before_is_seen(question: str) -> None:
    assert depends(question)


@pytest.mark.parametrize(
    "question",
    [
        "How long may a berth be reserved?", "What is the capital of Peru?", "What time is it in Tokyo?",
        "How is it possible to reserve a berth for two weeks?", "Are there showers in the harbour?",
        "Wie lange darf ein Liegeplatz reserviert werden?", "Wer leitet den Hafen?", "Haben Sie Strom?",
        "Combien coûte une nuit pour un bateau ?", "係留は何日間予約できますか", "What is 5 + 3?", "hello",
        "",
        "And now something else: which tools can be added to the service, by whom, and how?",
    ],
)  # fmt: skip
def test_what_stands_alone_is_seen_too(question: str) -> None:
    assert not depends(question)


async def test_the_model_is_asked_with_what_was_said_and_its_question_is_searched_for() -> None:
    model = Scripted(' "What does a berth cost\nin winter?" ')
    assert await searched(model) == Searched("What does a berth cost in winter?", rewritten=True)
    [(question, earlier, name)] = model.asked
    assert (question, name) == ("And how much is it in winter?", "main")
    assert earlier == [Exchange("What does a berth cost?", "Twelve euros a night [1].")]


@pytest.mark.parametrize("question", ["Thanks a lot! And in winter?", "Okay, and how much is it in winter?"])
async def test_thanks_for_the_answer_before_are_no_part_of_the_question(question: str) -> None:
    model = Scripted("What does a berth cost in winter?")
    assert (await searched(model, *TALK[:2], HumanMessage(question))).rewritten


async def test_nobody_is_asked_where_it_is_not_needed() -> None:
    model = Scripted("never")
    assert (await searched(model, HumanMessage("And how much is it?"))).text == "And how much is it?"
    alone = [*TALK, AIMessage("Ten."), HumanMessage("How long may a berth be reserved?")]
    assert not (await searched(model, *alone)).rewritten
    assert not (await searched(model, *TALK, rewrite="off")).rewritten
    assert (await searched(model, AIMessage("Hello"))).text == ""
    assert model.asked == []


@pytest.mark.parametrize("said", [Unavailable("away"), "hang", "", " \n ", "x" * 401])
async def test_where_it_does_not_help_the_question_stays_as_it_is(said: str | Exception) -> None:
    with structlog.testing.capture_logs():
        found = await searched(Scripted(said), *TALK, rewrite_timeout_s=0.05)
    assert found == Searched("And how much is it in winter?")


async def test_without_a_model_the_question_before_is_searched_for_too() -> None:
    follow_ups = FollowUps(RagSettings(), NobodyRewrites())
    found = await follow_ups.searched(TALK, model="", principal=ADA)
    assert found == Searched("And how much is it in winter?\nWhat does a berth cost?", rewritten=True)
