"""A table in a text file as sentences: each row with the names of its columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from core.words import row_sentence

_DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r"sep=(.)\s*\Z", re.IGNORECASE)
_NUMBER = re.compile(r"(?=[^\d]*\d)[-+]?[\d.,:/ %€$£-]+")
_FIELD_LETTERS = 1_000_000


def text_of_table(text: str, *, delimiter: str = "") -> str:
    """The rows, a paragraph each; the text itself where it is no table."""
    first, _, rest = text.partition("\n")
    said = _SEP_LINE.match(first)
    if said:
        text, delimiter = rest, said.group(1)
    rows = _rows(text, delimiter or _delimiter(text))
    if len(rows) < 2 or max(map(len, rows)) < 2:
        return text
    names, body = _named(rows)
    return "\n\n".join(filter(None, (row_sentence(names, row) for row in body)))


def _rows(text: str, delimiter: str) -> list[list[str]]:
    before = csv.field_size_limit(_FIELD_LETTERS)
    try:
        found = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        return [row for row in found if any(cell.strip() for cell in row)]
    except csv.Error:
        return []
    finally:
        csv.field_size_limit(before)


def _delimiter(text: str) -> str:
    """The sign that stands most often, and equally often, in the first lines."""
    lines = [line for line in text[:20_000].splitlines()[:20] if line.strip()]

    def fits(sign: str) -> tuple[int, int]:
        counts = [line.count(sign) for line in lines]
        return (sum(1 for count in counts if count == counts[0] > 0), counts[0]) if counts else (0, 0)

    return max(_DELIMITERS, key=fits)


def _named(rows: Sequence[list[str]]) -> tuple[list[str], Sequence[list[str]]]:
    """The columns' names, and the rows under them; numbers where the first row is one like the others."""
    width = max(map(len, rows))
    names = names_of(rows[0], width)
    return (names, rows[1:]) if names else ([f"column {n}" for n in range(1, width + 1)], rows)


def names_of(row: Sequence[str], width: int) -> list[str] | None:
    """The names of `width` columns under this row; None where it is one like the others."""
    head = [" ".join(cell.split()).replace(":", " ").replace(";", " ").strip() for cell in row]
    if any(_NUMBER.fullmatch(cell) for cell in head if cell):
        return None
    return [(head[i] if i < len(head) else "") or f"column {i + 1}" for i in range(width)]
