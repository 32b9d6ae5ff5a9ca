"""What a caller chooses is declared once: a further choice must not be spelled out in file after file."""

from __future__ import annotations

import io
import tokenize

import pytest

from tests.architecture.test_house import HOUSE, ROOT, sources

DECLARED = "core/choices.py"
# Of the choices, those that no other thing is called by.
TELLING = {"max_steps", "approval", "temperature"}
# A file that has a reason to name two of them, and which.
ALLOWED: dict[str, str] = {}


def names_in(text: str) -> set[str]:
    """Names and whole strings of a source; words within a sentence do not count."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {found.string.strip("\"'") for found in tokens if found.type in (tokenize.NAME, tokenize.STRING)}


@pytest.mark.always
def test_the_choices_are_listed_in_one_place() -> None:
    listing = {
        str(path.relative_to(ROOT))
        for path in sources(*HOUSE)
        if len(TELLING & names_in(path.read_text("utf-8"))) > 1
    }
    assert listing == {DECLARED, *ALLOWED}
