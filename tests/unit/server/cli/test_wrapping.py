"""Answers on a terminal are broken between words."""

from __future__ import annotations

import io

import pytest

from server.cli.wrapping import Wrapping, wrapped


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _thirty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")


TEXT = "The quick brown fox jumps over the lazy dog, and over it again.\n\n    code  stays  as it is\n* a\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_words_stay_whole_however_the_text_comes(size: int) -> None:
    out = Terminal()
    text = Wrapping(out)
    for at in range(0, len(TEXT), size):
        text.write(TEXT[at : at + size])
    text.end()
    assert out.getvalue() == (
        "The quick brown fox jumps over\nthe lazy dog, and over it\nagain.\n\n"
        "    code  stays  as it is\n* a\n"
    )


def test_the_last_word_is_shown_at_the_end() -> None:
    out = Terminal()
    text = Wrapping(out)
    text.write("5 + 3 = 8")
    assert out.getvalue() == "5 + 3 ="
    text.end()
    text.end()
    assert out.getvalue() == "5 + 3 = 8"


def test_what_is_longer_than_a_line_is_left_to_the_terminal() -> None:
    out = Terminal()
    text = Wrapping(out)
    text.write(f"see {'x' * 40} now and then again")
    text.end()
    assert out.getvalue() == f"see\n{'x' * 40} now and then again"


def test_wide_letters_take_two_columns() -> None:
    out = Terminal()
    text = Wrapping(out)
    text.write("漢字漢字漢字 漢字漢字漢字 漢字漢字漢字")
    text.end()
    assert out.getvalue() == "漢字漢字漢字 漢字漢字漢字\n漢字漢字漢字"


def test_into_a_pipe_everything_goes_as_it_is() -> None:
    out = io.StringIO()
    text = Wrapping(out)
    text.write("one ")
    text.write("two")
    text.end()
    assert out.getvalue() == "one two"
    assert wrapped("x " * 50, out) == "x " * 50


def test_lines_beside_the_answer_are_set_in_where_they_go_on() -> None:
    line = "  ! The offline model answers: it calls tools and quotes passages"
    assert wrapped(line, Terminal()) == (
        "  ! The offline model answers:\n    it calls tools and quotes\n    passages"
    )
    assert wrapped("[1] Handbook (handbook): a quote\nnext", Terminal()) == (
        "[1] Handbook (handbook): a\n  quote\nnext"
    )
