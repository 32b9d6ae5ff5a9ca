"""Reasoning between tags, in pieces of every size."""

from __future__ import annotations

import pytest

from nodes.llm.assembly import ThinkSplit


def split(text: str, size: int) -> tuple[str, str]:
    found = ThinkSplit()
    pieces = [found.feed(text[start : start + size]) for start in range(0, len(text), size)]
    pieces.append(found.end())
    return "".join(said for said, _ in pieces), "".join(thought for _, thought in pieces)


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("<think>plan</think>Hello", "Hello", "plan"),
        ("\n <think>\nplan\n</think>\n\nHello", "Hello", "\nplan\n"),
        ("<think></think>Hello", "Hello", ""),
        ("<thinking>a < b </think></thinking>Hello", "Hello", "a < b </think>"),
        ("<thought>a</thought>b<think>c</think>", "b<think>c</think>", "a"),
        ("<reasoning>a</reasoning>", "", "a"),
        ("<think>never closed", "", "never closed"),
        ("<think>half a tag</thi", "", "half a tag</thi"),
        ("<think", "<think", ""),
        ("<thin air>", "<thin air>", ""),
        ("Use <think>…</think> tags", "Use <think>…</think> tags", ""),
        ("  ", "  ", ""),
        ("", "", ""),
        (" " * 500 + "<think>a</think>", " " * 500 + "<think>a</think>", ""),
        ("Hello", "Hello", ""),
    ],
)
def test_m5_5_reasoning_is_told_from_the_answer_wherever_it_is_cut(
    text: str, said: str, thought: str
) -> None:
    for size in (1, 3, 100):
        assert split(text, size) == (said, thought)


def test_text_that_cannot_begin_a_tag_is_not_held_back() -> None:
    found = ThinkSplit()
    assert found.feed("H") == ("H", "")
    assert found.feed("<think>") == ("<think>", "")
