"""A table in a text file as sentences: each row with the names of its columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from core.words import row_sentence
from nodes.rag.reading.extract import MOST_CHARS, Unreadable
from nodes.rag.reading.spans import MOST_OF_A_NAME

_DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r"sep=(.)\s*\Z", re.IGNORECASE)
_NUMBER = re.compile(r"(?=[^\d]*\d)[-+]?[\d.,:/ %€$£-]+")
_YEAR = re.compile(r"(?:19|20)\d\d")
_FIELD_LETTERS = 1_000_000
# Rows that are looked at to tell whether the first one names the columns.
_LOOKED_AT = 20


def text_of_table(text: str, *, delimiter: str = "") -> str:
    """The rows, a paragraph each; the text itself where it is no table.

    Raises:
        Unreadable: Its rows say more than is read of a document.
    """
    first, _, rest = text.partition("\n")
    said = _SEP_LINE.match(first)
    if said:
        text, delimiter = rest, said.group(1)
    rows = _rows(text, delimiter or _delimiter(text))
    if len(rows) < 2 or max(map(len, rows)) < 2:
        return text
    titles, table = _titles(rows)
    names, body = _named(table)
    return "\n\n".join(_bounded(filter(None, chain(titles, (row_sentence(names, row) for row in body)))))


def _bounded(said: Iterable[str]) -> Iterator[str]:
    """Names of columns are said in each row: a small file may say a lot."""
    letters = 0
    for block in said:
        letters += len(block) + 2
        if letters > MOST_CHARS:
            raise Unreadable("it is too much text")
        yield block


def _titles(rows: Sequence[list[str]]) -> tuple[list[str], Sequence[list[str]]]:
    """Lines of their own above a table, which say what it is about, and the table."""
    above = 0
    while above + 1 < len(rows) and sum(1 for cell in rows[above] if cell.strip()) == 1:
        above += 1
    if above + 1 == len(rows):
        return [], rows
    return [" ".join("".join(row).split()) for row in rows[:above]], rows[above:]


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
    names = names_of(rows[0], width, rows[1:_LOOKED_AT])
    return (names, rows[1:]) if names else ([f"column {n}" for n in range(1, width + 1)], rows)


def names_of(row: Sequence[str], width: int, below: Sequence[Sequence[str]] = ()) -> list[str] | None:
    """The names of `width` columns under this row; None where it is one like the others.

    Args:
        below: Rows that follow. A year names a column that has no years in it, beside one that is named
            in words.
    """
    head = [" ".join(cell.split()).replace(":", " ").replace(";", " ").strip() for cell in row]
    years = {i for i, cell in enumerate(head) if _YEAR.fullmatch(cell)}
    if (
        len(years) == sum(map(bool, head))
        or any(_has_years(below, i) for i in years)
        or (years and not below)
    ):
        years = set()
    if any(_NUMBER.fullmatch(cell) for i, cell in enumerate(head) if cell and i not in years):
        return None
    return [(head[i] if i < len(head) else "")[:MOST_OF_A_NAME] or f"column {i + 1}" for i in range(width)]


def heads_alone(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A line of the heads that no row says: their columns are empty, or they are too long for a name.

    Args:
        rows: Those whose values stand behind the names of their columns.
    """
    said = {at for row in rows for at, cell in enumerate(row) if cell}
    left = [c for at, c in enumerate(head) if c and (at not in said or len(c) > MOST_OF_A_NAME)]
    if left:
        yield " | ".join(dict.fromkeys(left))


def _has_years(rows: Sequence[Sequence[str]], column: int) -> bool:
    return any(_YEAR.fullmatch(row[column].strip()) for row in rows if column < len(row))
