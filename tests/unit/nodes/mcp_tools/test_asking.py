"""What a call's questions are answered with, over tools that ask oddly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from nodes.mcp_tools.adapters.elicitation import Elicitations
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.interrupts import AT_MOST, AskPerson
from nodes.mcp_tools.models import Answer, Question

THREAD: RunnableConfig = {"configurable": {"thread_id": "t1"}}
FORM = {"type": "object", "properties": {"n": {"type": "integer"}}}


class Said(TypedDict, total=False):
    said: list[Any]


class Talk:
    """A step that asks through an `AskPerson`, and the person's side of it."""

    def __init__(self, step: Callable[[AskPerson], Awaitable[list[Any]]], *, mode: str = "ask") -> None:
        async def node(state: Said) -> Said:
            asker = AskPerson({"id": "c1", "name": "odd"}, Target("s", "odd", None), mode)
            return {**state, "said": await step(asker)}

        builder = StateGraph(Said)
        builder.add_node("step", node)
        builder.add_edge(START, "step")
        builder.add_edge("step", END)
        self._graph = builder.compile(checkpointer=InMemorySaver())

    async def begin(self) -> list[Any] | str:
        return await self._go({"said": []})

    async def answer(self, answer: Any) -> list[Any] | str:
        """What the step came to, or the text of its next question."""
        return await self._go(Command(resume=answer))

    async def _go(self, given: Any) -> list[Any] | str:
        found = await self._graph.ainvoke(given, THREAD)
        if "__interrupt__" in found:
            text: str = found["__interrupt__"][0].value["detail"]
            return text
        said: list[Any] = found["said"]
        return said


async def test_an_attempt_that_begins_anew_gets_the_same_answers_without_asking_again() -> None:
    async def twice(asker: AskPerson) -> list[Any]:
        question = Question("How many?", FORM)
        return [(await asker(question)).content, (await asker(question)).content]

    talk = Talk(twice)
    assert await talk.begin() == "How many?"
    assert await talk.answer({"action": "accept", "content": {"n": 1}}) == [{"n": 1}, {"n": 1}]


async def test_an_attempt_that_asks_something_else_asks_the_person_anew() -> None:
    async def another(asker: AskPerson) -> list[Any]:
        first = await asker(Question("How many?", FORM))
        return [first.content, (await asker(Question("How often?", FORM))).content]

    talk = Talk(another)
    assert await talk.begin() == "How many?"
    assert await talk.answer({"action": "accept", "content": {"n": 1}}) == "How often?"
    assert await talk.answer({"action": "accept", "content": {"n": 2}}) == [{"n": 1}, {"n": 2}]


async def test_a_tool_that_asks_and_asks_is_told_no_in_the_end() -> None:
    async def nag(asker: AskPerson) -> list[Any]:
        actions: list[Any] = []
        while not actions or actions[-1] == "accept":
            actions.append((await asker(Question(f"{len(actions)}?", FORM, len(actions)))).action)
        return actions

    talk = Talk(nag)
    found = await talk.begin()
    for number in range(AT_MOST):
        assert found == f"{number}?"
        found = await talk.answer({"action": "accept", "content": {}})
    assert found == ["accept"] * AT_MOST + ["decline"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "description": "x" * 40_000},
        {"type": "object", "description": "a \0 that no database keeps"},
        {"type": "object", "description": "half a character: \ud800"},
    ],
)
async def test_a_form_that_cannot_be_shown_or_kept_is_declined(schema: dict[str, Any]) -> None:
    async def ask(asker: AskPerson) -> list[Any]:
        return [await asker(Question("Well?", schema))]

    assert await Talk(ask).begin() == [Answer("decline")]


async def test_a_text_is_cut_and_made_fit_to_be_kept() -> None:
    async def ask(asker: AskPerson) -> list[Any]:
        return [await asker(Question("\0\ud800" + "x" * 10_000, FORM))]

    text = await Talk(ask).begin()
    assert len(text) == 4000
    assert text[:3] == "?xx"


def test_where_a_question_came_from_is_forgotten_when_nobody_takes_it() -> None:
    asked = Elicitations()
    for number in range(1025):
        asked.came_on(number, 7)
    assert [asked.stream_of(number) for number in (0, 1, 1024, 2000)] == [None, 7, 7, None]
    assert asked.stream_of(1) is None
