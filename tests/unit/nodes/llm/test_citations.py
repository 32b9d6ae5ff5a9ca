"""A number that no passage has does not stand in an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from core.observability import REGISTRY
from nodes.llm.citations import OfferedOnly, checked, offered_only
from nodes.llm.errors import ModelStreamCut
from nodes.llm.fake import ScriptedModel
from nodes.llm.models import LLMChunk, LLMResponse, Usage
from tests.unit.nodes.llm.test_node import caller_of, turn

TWO = [
    {"n": n, "source": "docs", "document": f"{n}.md", "title": f"{n}", "text": f"Fact {n}."} for n in (1, 2)
]


def through(text: str, *, offered: int = 2) -> tuple[str, list[int]]:
    held = OfferedOnly(range(1, offered + 1))
    return held.feed(text) + held.end(), held.invented


@pytest.mark.parametrize(
    ("said", "left", "invented"),
    [
        ("Book early [1].", "Book early [1].", []),
        ("Book early [7].", "Book early.", [7]),
        ("Early [1][7] and late [2, 9].", "Early [1] and late [2].", [7, 9]),
        ("[3] it says", " it says", [3]),
        ("二等です[4]。", "二等です。", [4]),
        ("Early [5]", "Early", [5]),
        ("He said so.[6]\nYes.", "He said so.\nYes.", [6]),
    ],
)
def test_what_was_not_offered_goes(said: str, left: str, invented: list[int]) -> None:
    assert through(said) == (left, invented)


@pytest.mark.parametrize(
    "said",
    [
        "Take `a [7]` of it.",
        "```\nprint([7])\nx = y [8]\n```\nDone [1].",
        "Use argv[7] and f(x)[8].",
        "The list [3, 4, 5] is sorted.",
        "See [7](https://example.com) and\n[8]: https://example.com",
        "In [2024] and [0].",
        "An open [7 and a [ 12345 ] and [x].",
    ],
)
def test_what_only_looks_like_one_stays(said: str) -> None:
    assert through(said) == (said, [])


PIECES = ["a", " ", "[", "]", "1", "7", ", ", "`", "``", "(", ".", "\n", "[9]", "é"]


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_however_it_comes_in_pieces_the_same_is_left(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    held = OfferedOnly({1})
    pieces = [held.feed(text[a:b]) for a, b in pairwise(places)]
    assert ("".join(pieces) + held.end(), held.invented) == through(text, offered=1)


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ("half an", ""),
        ("half an ", " "),
        ("one line\n", ""),
        ("two  ", " "),
        ("Early [", " ["),
        ("Early [1, 7", " [1, 7"),
        ("Early [7]", " [7]"),
        ("Early [x", ""),
        ("Early [7].", ""),
        ("Take ``", "``"),
    ],
)
def test_no_more_is_held_back_than_may_begin_a_citation(said: str, held: str) -> None:
    text = OfferedOnly({1, 7})
    assert (text.feed(said), text.end()) == (said.removesuffix(held), held)


def broken_off(error: Exception | None, *parts: str) -> AsyncIterator[LLMChunk | LLMResponse]:
    """A stream that fails after these parts, or hangs."""

    async def stream() -> AsyncIterator[LLMChunk | LLMResponse]:
        for part in parts:
            yield LLMChunk(text=part)
        if error is not None:
            raise error
        await asyncio.Event().wait()

    return offered_only(stream(), TWO)


async def listen(stream: AsyncIterator[LLMChunk | LLMResponse], said: list[str]) -> None:
    async for item in stream:
        assert isinstance(item, LLMChunk)
        said.append(item.text)


BROKEN = [
    (("half ", "an "), "half an "),
    (("Early", " [", "1"), "Early [1"),
    (("Early", " [", "7]"), "Early"),
    (("Early [7", "] or late ["), "Early or late ["),
]


@pytest.mark.parametrize(("parts", "left"), BROKEN)
async def test_what_is_held_back_is_said_where_the_stream_breaks_off(
    parts: tuple[str, ...], left: str
) -> None:
    said: list[str] = []
    with pytest.raises(ModelStreamCut, match="it broke"):
        await listen(broken_off(ModelStreamCut("it broke"), *parts), said)
    assert "".join(said) == left


@pytest.mark.parametrize(("parts", "left"), BROKEN)
async def test_what_is_held_back_is_said_when_the_turn_is_stopped(parts: tuple[str, ...], left: str) -> None:
    said: list[str] = []
    task = asyncio.create_task(listen(broken_off(None, *parts), said))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert "".join(said) == left


def counted(kind: str) -> float:
    return REGISTRY.get_sample_value("waystation_citations_total", {"kind": kind}) or 0.0


async def test_the_stream_the_message_and_a_notice_agree() -> None:
    before = counted("offered"), counted("invented")
    model = ScriptedModel("Book early [1]. Pay late [7]. Never [9, 2].")
    events, messages = await turn(caller_of(model), [HumanMessage("When?")], documents=TWO)
    left = "Book early [1]. Pay late. Never [2]."
    assert "".join(e["delta"] for e in events if e["type"] == "token") == left
    assert messages[-1].text == left
    (notice,) = [e for e in events if e.get("code") == "citation_unknown"]
    assert notice["detail"].startswith("The model cited [7], [9], and no passage has that number")
    assert (counted("offered"), counted("invented")) == (before[0] + 2, before[1] + 2)


async def test_without_passages_an_answer_is_left_alone() -> None:
    model = ScriptedModel("A footnote [7].")
    events, messages = await turn(caller_of(model), [HumanMessage("Write one.")])
    assert messages[-1].text == "A footnote [7]."
    assert not [e for e in events if e.get("code") == "citation_unknown"]


def test_an_answer_in_parts_is_looked_through_too() -> None:
    parts: list[Any] = [
        {"type": "text", "text": "One [7]."}, "Two [1] [8].", {"type": "image_url", "image_url": "x"},
    ]  # fmt: skip
    response = checked(LLMResponse(AIMessage(parts), Usage(1, 1, "m")), {1})
    assert response.message.content == [{"type": "text", "text": "One."}, "Two [1].", parts[2]]
    assert re.search(r"\[7\], \[8\]", response.remarks[0][1])
