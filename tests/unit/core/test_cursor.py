"""Places in a list, written down for clients."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest

from core.cursor import LONGEST, cursor, is_cursor, place_of
from core.errors import InvalidInput


@pytest.mark.parametrize("moment", [0, 1796000000.123456, 1796000000123456789, -1.5])
def test_a_place_comes_back_exactly(moment: float) -> None:
    given = cursor("thread", moment, "t_1-x")
    assert place_of("thread", given) == (moment, "t_1-x")
    assert is_cursor(given)


def test_the_longest_id_makes_a_cursor_that_is_taken() -> None:
    assert len(cursor("thread", 1796000000.123456, "x" * 128)) < LONGEST


def raw(text: str) -> str:
    return "c." + urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "t_1",
        "c.",
        "c.!!!",
        "c.\N{LATIN SMALL LETTER E WITH ACUTE}",
        "c.AAAA",
        raw("[]"),
        raw("{}"),
        raw('["run",1,"t"]'),
        raw('["thread",true,"t"]'),
        raw('["thread","1","t"]'),
        raw('["thread",1,2]'),
        raw('["thread",NaN,"t"]'),
        raw('["thread",1e400,"t"]'),
        raw('["thread",1e300,"t"]'),
        raw('["thread",99999999999999999999999999,"t"]'),
        raw('["thread",1,"a\\u0000"]'),
        raw('["thread",1,"\\ud800"]'),
        cursor("thread", 1, "t").removeprefix("c."),
    ],
)
def test_st4_what_is_no_cursor_is_told_in_a_sentence(given: str) -> None:
    with pytest.raises(InvalidInput, match="no cursor of this list"):
        place_of("thread", given)
