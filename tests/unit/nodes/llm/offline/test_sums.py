"""Sums are read from sentences, and only sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.llm.offline.sums import read_sum


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("What is 5 + 3?", "5 + 3"),
        ("What's 5+3", "5 + 3"),
        ("add 5 and 3", "5 + 3"),
        ("the sum of 5, 3 and 2", "5 + 3 + 2"),
        ("2 to the power of 10", "2 ** 10"),
        ("compute 2^8", "2 ** 8"),
        ("10% of 250", "250 * 10 / 100"),
        ("what is the square root of 2", "2 ** 0.5"),
        ("What is (2+3)*4 - 1?", "(2 + 3) * 4 - 1"),
        ("-(3+4)*2", "-(3 + 4) * 2"),
        ("subtract 3 from 10", "10 - 3"),
        ("divide 10 by 4", "10 / 4"),
        ("the product of 6 and 7", "6 * 7"),
        ("average of 3, 4 and 5", "(3 + 4 + 5) / 3"),
        ("what is 1,000 * 2.5", "1000 * 2.5"),
        ("twelve divided by four", "12 / 4"),
        ("7 x 6", "7 * 6"),
        ("what is 5 - -3", "5 - -3"),
        ("what is -8 squared", "(-8) ** 2"),
        ("What is 5 + 3 and doubled", "(5 + 3) * 2"),
        ("$5 plus $3", "5 + 3"),
        ("double 7", "7 * 2"),
        ("((5 + 3))", "5 + 3"),
        ("5 - -(-3)", "5 - -(-3)"),
    ],
)
def test_a_sum_is_read(text: str, expression: str) -> None:
    found = read_sum(text)
    assert found is not None
    assert found.expression == expression


@pytest.mark.parametrize(
    ("text", "previous", "expression"),
    [
        ("And doubled?", "8", "8 * 2"),
        ("double it", "8", "8 * 2"),
        ("half of that", "8", "8 / 2"),
        ("halved", "8", "8 / 2"),
        ("and squared?", "-8", "(-8) ** 2"),
        ("plus 2", "8", "8 + 2"),
        ("times three", "8", "8 * 3"),
        ("What is that divided by 4?", "8", "8 / 4"),
    ],
)
def test_a_follow_up_means_the_number_before(text: str, previous: str, expression: str) -> None:
    found = read_sum(text, previous)
    assert found is not None
    assert found.expression == expression


@pytest.mark.parametrize(
    "text",
    [
        "How do I add a tool?",
        "Why is support 24/7 available?",
        "days between 2024-01-01 and 2024-03-01",
        "How many steps may a turn have, 25 or 50?",
        "And doubled?",
        "5 + (3",
        "3 4 + 5",
        "1 (2+3)",
        "()",
        "5 +",
        "5 + + 3",
        "5 - - - 3",
        ") 5 + 3 (",
        "x" * 3000 + " 5 + 3",
        "",
    ],
)
def test_what_is_no_sum_is_left_alone(text: str) -> None:
    assert read_sum(text) is None


def test_two_numbers_are_told_apart_from_more() -> None:
    two, three = read_sum("5 - -3"), read_sum("1 + 2 + 3")
    assert two is not None
    assert two.binary == ("-", 5.0, -3.0)
    assert three is not None
    assert three.binary is None


@given(st.text(max_size=80), st.sampled_from([None, "8", "-2.5"]))
def test_any_text_is_survived(text: str, previous: str | None) -> None:
    read_sum(text, previous)


@given(st.integers(-999, 999), st.sampled_from("+-*/"), st.integers(0, 999))
def test_the_expression_has_the_value_that_was_written(left: int, sign: str, right: int) -> None:
    found = read_sum(f"What is {left} {sign} {right}?")
    assert found is not None
    assert found.binary == (sign, float(left), float(right))
