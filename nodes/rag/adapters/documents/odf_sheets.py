"""Tables of OpenDocument: rows of cells, with what is repeated and merged as often as it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lxml import etree

from nodes.rag.adapters.documents.concealed import Concealed, is_hidden
from nodes.rag.reading.extract import Unreadable
from nodes.rag.reading.spans import MOST_DOWN, Allowance

DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"

_CELLS = {f"{TABLE}table-cell", f"{TABLE}covered-table-cell"}
# A row of blank cells up to the last column is written as one that is repeated.
_MOST_REPEATED, _MOST_ROWS = 200, 1_048_576
_MOST_DECIMALS = 10
_DIGITS = re.compile(r"\d")
# Midnight, and seconds that are none.
_NO_TIME = re.compile(r" 00:00:00\Z|(?<=:\d\d):00\Z")

Said = Callable[[etree._Element], str]


def name_of(table: etree._Element) -> str:
    """What a sheet is called."""
    return " ".join(table.get(f"{TABLE}name", "").split())


def is_styled(element: etree._Element, styles: dict[str, etree._Element], what: str, how: str) -> bool:
    """Whether the style of a sheet or slide says so of it."""
    names = (element.get(f"{TABLE}style-name"), element.get(f"{DRAW}style-name"))
    style = next((styles[name] for name in names if name in styles), None)
    if style is None:
        return False
    given = (
        value for part in style for key, value in part.attrib.items() if str(key).rpartition("}")[2] == what
    )
    return next(given, "") == how


def rows_of(table: etree._Element, said: Said, concealed: Concealed | None = None) -> Iterator[list[str]]:
    """The rows of a table that are shown, each cell as text; a merged one in every row that it reaches.

    Args:
        said: What stands in a cell that is no number and no date.
        concealed: Knows its hidden columns, and is told of hidden rows; None: all of it is shown.
    """
    below: dict[int, tuple[int, str]] = {}
    allowance = Allowance()
    count, number = 0, 1
    for row in _rows(table):
        cells = _cells(row, said, below, allowance)
        first, number = number, number + _count(row, "number-rows-repeated", _MOST_ROWS)
        if concealed is not None:
            if is_hidden(row):
                concealed.leave_out(first, cells)
                continue
            cells = concealed.shown(cells)
        yield list(cells)
        count += 1
        for _ in range(_count(row, "number-rows-repeated", MOST_DOWN) - 1 if any(cells) else 0):
            allowance.letters -= sum(map(len, cells)) + 1
            if allowance.letters < 0:
                break
            yield list(cells)
            count += 1
        if count > _MOST_ROWS:
            raise Unreadable(f"it is too much: a sheet of it has more than {_MOST_ROWS} rows")


def _rows(table: etree._Element) -> Iterator[etree._Element]:
    """Its own rows, in groups and heads too, not those of tables in its cells."""
    for child in table:
        if child.tag == f"{TABLE}table-row":
            yield child
        elif child.tag not in _CELLS and child.tag != f"{TABLE}table":
            yield from _rows(child)


def _cells(
    row: etree._Element, said: Said, below: dict[int, tuple[int, str]], allowance: Allowance
) -> list[str]:
    found: list[str] = []
    for cell in row:
        if cell.tag not in _CELLS:
            continue
        left, text = below.get(len(found), (0, ""))
        if cell.tag == f"{TABLE}covered-table-cell" and left and allowance.letters > 0:
            below[len(found)] = (left - 1, text)
            allowance.letters -= len(text) + 1
        else:
            text = _value(cell, said)
            below[len(found)] = (_count(cell, "number-rows-spanned", MOST_DOWN) - 1, text)
        found.append(text)
        again = _count(cell, "number-columns-repeated", _MOST_REPEATED) - 1
        allowance.letters -= again * len(text)
        found += [text if allowance.letters > 0 else ""] * again
    return found


def _count(element: etree._Element, name: str, most: int) -> int:
    given = element.get(f"{TABLE}{name}", "1")
    return max(1, min(int(given), most)) if given.isdecimal() and len(given) < 10 else 1


def _value(cell: etree._Element, said: Said) -> str:
    """Numbers with the decimals and percent that the sheet shows, dates as ISO has them."""
    shown = said(cell)
    kind = cell.get(f"{OFFICE}value-type", "")
    if kind == "date":
        return _NO_TIME.sub("", cell.get(f"{OFFICE}date-value", shown).replace("T", " "))
    if kind == "boolean":
        return "yes" if cell.get(f"{OFFICE}boolean-value") == "true" else "no"
    if kind in {"float", "currency", "percentage"}:
        return _number(cell.get(f"{OFFICE}value", ""), shown, percent=kind == "percentage")
    return shown


def _number(value: str, shown: str, *, percent: bool) -> str:
    try:
        number = float(value) * (100 if percent else 1)
    except ValueError:
        return shown
    digits = _DIGITS.findall(shown)
    for decimals in range(_MOST_DECIMALS):
        written = f"{number:.{decimals}f}"
        if _DIGITS.findall(written) == digits:
            return f"{written} %" if percent else written
    # In powers of ten a sheet shows what does not fit into the cell.
    return value if "E+" in shown else shown
