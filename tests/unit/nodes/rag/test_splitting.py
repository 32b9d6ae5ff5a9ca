"""Pieces of a text: where they stand, and where they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.rag.chunking import chunk_document, heading_of, pieces, sections
from tests.growth.shapes import MOST_POWER, growth


def cut(text: str, size: int) -> list[str]:
    return [text[a:b] for a, b in pieces(text, 0, len(text), size=size)]


def test_the_best_place_is_taken() -> None:
    assert cut("One. Two.\n\nThree four five six.", 20) == ["One. Two.", "Three four five six."]
    assert cut("Alpha beta. Gamma delta. Epsilon", 26) == ["Alpha beta. Gamma delta.", "Epsilon"]
    assert cut("これは文です。これも文です。まだ続く", 10) == ["これは文です。", "これも文です。", "まだ続く"]
    assert cut("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert cut("  \n ", 10) == []


def test_no_letter_is_parted_from_its_marks() -> None:
    assert cut("e\u0301" * 10, 5) == ["e\u0301" * 2] * 5


@given(st.text(max_size=400), st.integers(min_value=5, max_value=60))
@settings(max_examples=300, deadline=None)
def test_nothing_is_lost_or_doubled(text: str, size: int) -> None:
    found = list(pieces(text, 0, len(text), size=size))
    assert "".join("".join(text[a:b].split()) for a, b in found) == "".join(text.split())
    assert all(a < b and b - a <= size for a, b in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))


def test_repeated_text_stands_where_it_stands() -> None:
    text = "The same words again. " * 200
    for chunk in chunk_document("a.txt", text, chunk_tokens=30):
        assert text[chunk.start : chunk.end] == chunk.text
    starts = [chunk.start for chunk in chunk_document("a.txt", text, chunk_tokens=30)]
    assert len(set(starts)) == len(starts) > 10


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("# One", (1, "One")),
        ("   ###   Two ##  ", (3, "Two")),
        ("#\tTab", (1, "Tab")),
        ("#No", None),
        ("####### Seven", None),
        ("    # Code", None),
        ("#  ", None),
        ("# " + "x" * 400, None),
        ("", None),
    ],
)
def test_what_is_a_heading(line: str, found: tuple[int, str] | None) -> None:
    assert heading_of(line) == found


@pytest.mark.parametrize(
    "shape", ["# ", "# a ", "[", "[a](", "#", " ", "\n# x", "= \n", "|", "x. ", ". ", "a\n\n", "```\n"]
)
def test_g1_2_a_document_takes_time_by_its_length(shape: str) -> None:
    def work(text: str) -> None:
        sections("a.md", text), list(pieces(text, 0, len(text), size=800)), sections("a.rst", text)

    assert growth(work, lambda size: "# " + shape * (size // len(shape)) + "x", 5000) <= MOST_POWER
