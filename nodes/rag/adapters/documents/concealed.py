"""Rows and columns that somebody hid in a sheet: they are not read, as hidden sheets are not, and it is said.

What a filter hides for now, and what is folded into a group, is one click away from whoever looks at the
sheet, and is read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from lxml import etree
from openpyxl.utils.cell import get_column_letter, range_boundaries

from nodes.rag.reading.extract import numbers

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OF_COLUMNS = {f"{_TABLE}table-{name}" for name in ("columns", "header-columns", "column-group")}
_MOST_COLUMNS, _MOST_FILTERS = 16_384, 200
# A sheet without the word, however it is encoded, hides nothing and is not read for it.
_MAY_HIDE = (b"hidden", "hidden".encode("utf-16-le"), "hidden".encode("utf-16-be"))
_TAGS = ("{*}row", "{*}col", "{*}autoFilter")
_YES = {"1", "true"}
_MOST_DIGITS = 7


@dataclass(slots=True)
class Concealed:
    """The rows and columns of a sheet that are not shown, from 1; those of `left_out` are not empty."""

    rows: set[int] = field(default_factory=set)
    columns: set[int] = field(default_factory=set)
    left_out: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))

    def note(self, sheet: str) -> str:
        """What to say of it; "" where nothing was left out."""
        rows, columns = (numbers(sorted(found)) for found in self.left_out)
        letters = re.sub(r"\d+", lambda number: get_column_letter(int(number.group())), columns)
        told = [_named("row", rows), _named("column", letters)]
        return (
            f"hidden and not read: {' and '.join(filter(None, told))} of sheet '{sheet}'" if any(told) else ""
        )

    def without(self, rows: Iterable[list[str]]) -> Iterator[list[str]]:
        """The rows that are shown, with the cells that are shown."""
        if not self.rows and not self.columns:
            yield from rows
            return
        for number, row in enumerate(rows, start=1):
            if number in self.rows:
                self.leave_out(number, row)
            else:
                yield self.shown(row)

    def leave_out(self, number: int, row: Sequence[str]) -> None:
        """Remember that the row of this number is not shown."""
        if any(row):
            self.left_out[0].add(number)

    def shown(self, row: list[str]) -> list[str]:
        """The cells of a row that are shown."""
        if not self.columns:
            return row
        self.left_out[1].update(at for at, cell in enumerate(row, start=1) if cell and at in self.columns)
        return [cell for at, cell in enumerate(row, start=1) if at not in self.columns]


def _named(what: str, which: str) -> str:
    return which and f"{what}{'' if which.isalnum() else 's'} {which}"


def in_excel(sheet: bytes, tables: Iterable[bytes]) -> Concealed:
    """What is hidden in a sheet of Excel, given its part of the file and those of its tables.

    SpreadsheetML is in ECMA-376 part 1, section 18.3.1.
    """
    found = Concealed()
    if not any(word in sheet for word in _MAY_HIDE):
        return found
    hidden, refs, last = set[int](), list[str](), 0
    for part in _parts(sheet):
        kind = etree.QName(part).localname
        if kind == "row":
            # One without a number is the next one.
            last = _whole(part.get("r")) or last + 1
            if _is_hidden_in_excel(part):
                hidden.add(last)
        elif kind == "col" and _is_hidden_in_excel(part):
            first, end = _whole(part.get("min")), _whole(part.get("max"))
            found.columns.update(range(max(first, 1), min(end, _MOST_COLUMNS) + 1))
        elif kind == "autoFilter":
            refs.append(part.get("ref", ""))
    if hidden:
        refs += (
            p.get("ref", "") for t in tables for p in _parts(t) if etree.QName(p).localname == "autoFilter"
        )
        filtered = list(_boundaries(refs[:_MOST_FILTERS]))
        found.rows = {row for row in hidden if not _within(row, filtered)}
    return found


def _parts(content: bytes) -> Iterator[etree._Element]:
    """Rows, columns and filters in order, of what can be read of it."""
    found = etree.iterparse(
        io.BytesIO(content), tag=_TAGS, resolve_entities=False, no_network=True, load_dtd=False
    )
    with suppress(etree.XMLSyntaxError):
        for _, part in found:
            yield part
            # Its cells are not wanted, nor is what stands before it.
            part.clear()
            while part.getprevious() is not None and (above := part.getparent()) is not None:
                del above[0]


def _is_hidden_in_excel(part: etree._Element) -> bool:
    return part.get("hidden") in _YES and not _whole(part.get("outlineLevel"))


def _whole(given: str | None) -> int:
    """A number from 1 on; 0 for what is none."""
    given = (given or "").strip()
    return int(given) if given.isdecimal() and len(given) <= _MOST_DIGITS else 0


def _boundaries(refs: Iterable[str]) -> Iterator[tuple[int | None, ...]]:
    for ref in refs:
        with suppress(ValueError):
            yield range_boundaries(ref)


def _within(row: int, filtered: Sequence[tuple[int | None, ...]]) -> bool:
    return any(
        first is not None and last is not None and first < row <= last for _, first, _, last in filtered
    )


def in_open_document(table: etree._Element) -> Concealed:
    """The columns that are hidden in a table of OpenDocument; its rows are told by `is_hidden`."""
    found, at = Concealed(), 0
    for column in _columns(table):
        given = column.get(f"{_TABLE}number-columns-repeated", "1")
        count = int(given) if given.isdecimal() and len(given) < 6 else 1
        if is_hidden(column):
            found.columns.update(range(at + 1, min(at + count, _MOST_COLUMNS) + 1))
        at += count
    return found


def _columns(parent: etree._Element) -> Iterator[etree._Element]:
    for child in parent:
        if child.tag == f"{_TABLE}table-column":
            yield child
        elif child.tag in _OF_COLUMNS:
            yield from _columns(child)


def is_hidden(part: etree._Element) -> bool:
    """Whether somebody hid a row or column; those of a group that is folded are marked in the same way."""
    groups = part.iterancestors(f"{_TABLE}table-row-group", f"{_TABLE}table-column-group")
    return part.get(f"{_TABLE}visibility") == "collapse" and next(groups, None) is None
