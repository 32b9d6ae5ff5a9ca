"""Excel (XLSX): each row as a sentence that carries the names of its columns, sheet by sheet."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import openpyxl
from openpyxl.utils.cell import column_index_from_string
from openpyxl.utils.exceptions import InvalidFileException

from core.words import row_sentence
from nodes.rag.adapters.documents.concealed import Concealed, in_excel
from nodes.rag.adapters.documents.ooxml import Package
from nodes.rag.reading.extract import MOST_CHARS, Extract, Unreadable
from nodes.rag.reading.tables import heads_alone, names_of

NOT_CALCULATED = "not calculated"
# Rows that are looked at to tell whether the first one names the columns.
_LOOKED_AT = 20
_MOST_ROWS = 1_048_576
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")
_MERGED = re.compile(
    rb'<(?:\w{1,20}:)?mergeCell\s[^<>]{0,100}?ref="([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})"'
)
_MOST_MERGED, _MOST_DOWN = 20_000, 2000
_DECIMALS = re.compile(r"0\.(0+)")
_QUOTED = re.compile(r'"[^"]{0,99}"|\[[^\]]{0,99}\]|\\.')


def read(raw: bytes) -> Extract:
    """The rows of every sheet that is shown.

    Raises:
        Unreadable: It is broken, needs a password, or has no cell with anything in it.
    """
    package = Package(raw)
    found = Extract()
    values = _opened(raw, values=True)
    formulas = _opened(raw, values=False) if _has_formulas(package) else None
    for sheet in values.worksheets:
        if sheet.sheet_state != "visible":
            found.notes.append(f"sheet '{sheet.title}' is hidden and not read")
            continue
        shown = _shown(sheet, formulas[sheet.title] if formulas else None)
        content, concealed = _written(package, sheet)
        rows = concealed.without(_filled_down(_possible(shown), _merged_down(content)))
        try:
            found.add(sentences(rows), (sheet.title,), f"sheet '{sheet.title}'", sheet.title)
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile):
            found.notes.append(f"sheet '{sheet.title}' is broken")
        if note := concealed.note(sheet.title):
            found.notes.append(note)
        if found.chars > MOST_CHARS:
            raise Unreadable("it is too much text")
    if not found.parts:
        raise Unreadable("; ".join(found.notes) or "its cells are empty")
    if any(NOT_CALCULATED in part.text for part in found.parts):
        found.notes.append("some formulas were never calculated: open it in Excel and save it")
    return found


def _opened(raw: bytes, *, values: bool) -> Any:
    try:
        return openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=values)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError):
        raise Unreadable("it is broken, or of another kind than its name says") from None


def _has_formulas(package: Package) -> bool:
    sheets = [name for name in package.names if name.startswith("xl/worksheets/") and name.endswith(".xml")]
    return any(_FORMULA.search(package.bytes(name)) for name in sheets)


def _shown(sheet: Any, formulas: Any) -> Iterator[list[str]]:
    """The cells of each row as text."""
    # A size that the file claims and does not have would be walked cell by cell.
    sheet.reset_dimensions()
    if formulas is None:
        yield from ([_cell(cell) for cell in row] for row in sheet.iter_rows())
        return
    formulas.reset_dimensions()
    for row, written in zip(sheet.iter_rows(), formulas.iter_rows(), strict=False):
        yield [
            NOT_CALCULATED if cell.value is None and formula.data_type == "f" else _cell(cell)
            for cell, formula in zip(row, written, strict=False)
        ]


def _possible(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    """As many rows as a sheet of Excel may have: one with more is made to take time and memory."""
    for number, row in enumerate(rows):
        if number >= _MOST_ROWS:
            raise Unreadable(f"it is too much: a sheet of it has more than {_MOST_ROWS} rows")
        yield row


def _written(package: Package, sheet: Any) -> tuple[bytes, Concealed]:
    """The part of a sheet, and what it hides; filters of its tables stand in parts of their own."""
    path = str(getattr(sheet, "_worksheet_path", "")).lstrip("/")
    if path not in package:
        return b"", Concealed()
    content = package.bytes(path)
    return content, in_excel(content, _tables(package, path))


def _tables(package: Package, path: str) -> Iterator[bytes]:
    """A table that cannot be read hides nothing: its cells are those of the sheet."""
    with suppress(Unreadable):
        yield from (package.bytes(part) for part in package.of_kind(path, "table"))


def _merged_down(sheet: bytes) -> dict[tuple[int, int], int]:
    """(row, column) of each cell that is merged with those below it, from 1, and the last row of it."""
    found = {}
    for letters, first, end in _MERGED.findall(sheet)[:_MOST_MERGED]:
        row, last = int(first), int(end)
        if last > row:
            found[row, column_index_from_string(letters.decode())] = min(last, row + _MOST_DOWN)
    return found


def _filled_down(rows: Iterable[list[str]], merged: Mapping[tuple[int, int], int]) -> Iterator[list[str]]:
    """The value of a merged cell in each row that it stands beside."""
    going: dict[int, tuple[int, str]] = {}
    columns = sorted({column for _, column in merged})
    for number, row in enumerate(rows, start=1):
        for column in columns:
            last, value = going.get(column, (0, ""))
            if (number, column) in merged and column <= len(row):
                going[column] = (merged[number, column], row[column - 1])
            elif number <= last:
                row.extend([""] * (column - len(row)))
                row[column - 1] = row[column - 1] or value
        yield row


def _cell(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _number(value, str(cell.number_format or ""))
    if isinstance(value, (dt.datetime, dt.time, dt.timedelta)):
        return _moment(value, _QUOTED.sub("", str(cell.number_format)).lower())
    return " ".join(str(value).split())


def _moment(value: dt.datetime | dt.time | dt.timedelta, shown: str) -> str:
    """A date, with its time where that is shown or is not midnight; the time alone where no date is shown."""
    if isinstance(value, dt.timedelta):
        return _hours(value)
    if isinstance(value, dt.datetime) and not ("h" in shown and {"y", "d"}.isdisjoint(shown)):
        midnight = value.time() == dt.time() and "h" not in shown
        return value.date().isoformat() if midnight else value.isoformat(" ", "minutes")
    time = value.time() if isinstance(value, dt.datetime) else value
    return time.isoformat("minutes" if time.second == 0 else "seconds")


def _hours(value: dt.timedelta) -> str:
    """A time span as `25:15`, or `25:15:30`: hours may be more than a day's."""
    seconds = round(abs(value).total_seconds())
    minutes, rest = divmod(seconds, 60)
    sign = "-" if value < dt.timedelta() and seconds else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02}" + (f":{rest:02}" if rest else "")


def _number(value: float, written: str) -> str:
    """A number as the sheet shows it: its decimals and percent, not its colours and currency."""
    shown = _QUOTED.sub("", written.split(";", maxsplit=1)[0])
    found = _DECIMALS.search(shown)
    decimals = len(found.group(1)) if found else 0
    if "%" in shown:
        return f"{value * 100:.{decimals}f} %"
    if decimals:
        return f"{value:.{decimals}f}"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def sentences(rows: Iterable[list[str]]) -> Iterator[str]:
    """A sentence for each row; an empty row ends a table, and the next one may have columns of its own."""
    names: list[str] = []
    table: list[list[str]] = []
    for row in [*_trimmed(rows), []]:
        if row:
            table.append(row)
        elif table:
            names = yield from _table(table, names)
            table = []


def _trimmed(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    """Rows without the empty cells behind their last; of empty rows one stands for all."""
    empty = True
    for row in rows:
        while row and not row[-1]:
            row.pop()
        if row or not empty:
            yield row
        empty = not row


def _table(table: Sequence[list[str]], before: list[str]) -> Generator[str, None, list[str]]:
    """The sentences of one table; returns the names of its columns for what goes on below it."""
    rows = list(table)
    while rows and sum(map(bool, rows[0])) == 1 and len(rows) > 1:
        # A line of its own above the table: what it is about.
        yield next(filter(None, rows.pop(0)))
    widest = max(map(len, rows))
    names = names_of(rows[0], widest, rows[1:_LOOKED_AT]) if sum(map(bool, rows[0])) > 1 else None
    head: list[str] = []
    if names and len(rows) > 1:
        head, *rows = rows
    else:
        names = before or [f"column {n}" for n in range(1, max(map(len, rows)) + 1)]
    for row in rows:
        if sum(map(bool, row)) == 1:
            yield next(filter(None, row)) if row[0] else row_sentence(names, row)
        else:
            yield row_sentence([*names, *(f"column {n}" for n in range(len(names) + 1, len(row) + 1))], row)
    yield from heads_alone(head, (row for row in rows if sum(map(bool, row)) > 1 or not row[0]))
    return names
