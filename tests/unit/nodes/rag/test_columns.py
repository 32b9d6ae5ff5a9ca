"""Columns that are drawn line by line are read column by column; tables and all else stay as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from reportlab.pdfgen.canvas import Canvas

from nodes.rag.adapters.documents.pdf import read

LEFT = [
    "The ferry leaves the northern pier at",
    "seven in the morning and comes back at",
    "noon, unless the wind is stronger than",
    "nine. Tickets are sold on board, and the",
    "crew takes coins and cards. Dogs travel",
    "free of charge, bicycles pay half of what",
    "a grown person pays on the same way.",
]
MIDDLE = [
    "Gardeners meet on the first Sunday of the",
    "month and bring their own tools with them,",
    "since the shed was sold two years ago and",
    "nobody has found another place that would",
    "be dry enough. New members are welcome and",
    "should wear boots that may become dirty in",
    "the wet soil behind the old greenhouse.",
]
RIGHT = [
    "Our library lends board games as well, for",
    "two weeks at a time. Missing pieces have to",
    "be told when a game is given back, so that",
    "the next family does not find out about it",
    "on a rainy evening. The list of games hangs",
    "beside the door and is written anew in each",
    "spring by the volunteers of the library.",
]


def page(
    *columns: Sequence[str], at: Sequence[float], across: bool = True, head: str = "", foot: str = ""
) -> bytes:
    """Columns of lines at these places; drawn line by line, or else one column after the other."""
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.setFont("Helvetica", 8)
    placed = [
        (x, 740 - 12 * n, line) for x, lines in zip(at, columns, strict=True) for n, line in enumerate(lines)
    ]
    if across:
        placed.sort(key=lambda place: -place[1])
    for x, y, line in [(40, 780, head), *placed, (40, 100, foot)]:
        canvas.drawString(x, y, line)
    canvas.save()
    return out.getvalue()


def text_of(raw: bytes) -> str:
    return " ".join(" ".join(part.text for part in read(raw).parts).split())


@pytest.mark.parametrize("across", [True, False])
def test_two_columns_are_read_one_after_the_other(across: bool) -> None:
    text = text_of(page(LEFT, RIGHT, at=(40, 300), across=across))
    assert text == " ".join([*LEFT, *RIGHT])


def test_three_columns_are_read_one_after_the_other() -> None:
    text = text_of(page(LEFT, MIDDLE, RIGHT, at=(30, 215, 405)))
    assert text == " ".join([*LEFT, *MIDDLE, *RIGHT])


def test_what_reaches_over_the_columns_stands_before_and_behind_them() -> None:
    head = "News of the harbour and of all the people who live around it, for the month of May, with games"
    foot = "Printed by the town on paper that was made of old newspapers, and given away at the harbour"
    text = text_of(page(LEFT, RIGHT, at=(40, 300), head=head, foot=foot))
    assert text == " ".join([head, *LEFT, *RIGHT, foot])


def test_columns_of_unequal_length_are_read_to_their_ends() -> None:
    text = text_of(page([*LEFT, *MIDDLE], RIGHT, at=(40, 300)))
    assert text == " ".join([*LEFT, *MIDDLE, *RIGHT])


LIGHTS = {
    "Anchor light, white": "is seen from all sides and has to burn",
    "Starboard light, green": "at night on the right side of the ship",
    "Port light, red": "at night on the left side of the ship",
    "Stern light, white": "from behind, within 135 degrees",
    "Deck light": "for work on deck, off while under way",
    "Search light": "by hand, when somebody is missing",
}
TABLES = {
    "of numbers": {f"Route number {n} to the islands": f"{n}.50 euros for adults" for n in range(8)},
    "of short words": {"pump": "2", "valve": "14", "hose": "3", "filter": "8", "seal": "11", "cap": "6"},
    "of names and remarks": LIGHTS,
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_rows_of_a_table_stay_together(table: dict[str, str]) -> None:
    text = text_of(page(list(table), list(table.values()), at=(40, 300)))
    # PDFium itself leaves out the blank before some digits.
    assert text.replace(" ", "") == "".join(map("".join, table.items())).replace(" ", "")


def test_text_in_one_column_stays_as_it_is() -> None:
    assert text_of(page([*LEFT, *RIGHT], at=(40,))) == " ".join([*LEFT, *RIGHT])
