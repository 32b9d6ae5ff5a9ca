"""An MCP server for CSV and Excel files: describe, head, filter, aggregate. Numbers are exact decimals."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, Inexact, InvalidOperation, localcontext
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

MAX_BYTES = 50_000_000
TIMEOUT_SECONDS = 15
MAX_ROWS_SHOWN = 100
MAX_COLUMNS = 1_000
MAX_GROUPS_SHOWN = 200
MAX_ARTIFACT_BYTES = 1_500_000
MAX_UNPACKED = 300_000_000

server = FastMCP("tables", log_level="WARNING")
# What is asked of them changes nothing.
READS = ToolAnnotations(readOnlyHint=True)

Filename = Annotated[
    str, Field(description="The name of a CSV or Excel (xlsx) file of this conversation, such as sales.csv")
]
Sheet = Annotated[str, Field(description="Of an Excel file the name of the sheet; empty for its first")]
Column = Annotated[str, Field(description="The name of a column")]


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[str, ...]
    rows: list[list[str]]

    def index(self, column: str) -> int:
        """Position of a column; its case and outer spaces do not matter.

        Raises:
            ToolError: There is none; the message lists the columns.
        """
        if column in self.columns:
            return self.columns.index(column)
        near = [i for i, name in enumerate(self.columns) if name.lower() == column.strip().lower()]
        if not near:
            raise ToolError(f"there is no column '{column[:80]}'; columns: {', '.join(self.columns)}")
        return near[0]


def fetch(address: str) -> bytes:
    """The content of a file by its address.

    Raises:
        ToolError: It is not an address, does not answer, or is too large.
    """
    if not address.lower().startswith(("http://", "https://", "data:")):
        raise ToolError(f"'{address[:80]}' is not a file of this conversation; attach it first")
    import urllib.error  # noqa: PLC0415 - brings TLS, 6 MB that an idle server does without
    import urllib.request  # noqa: PLC0415

    try:
        request = urllib.request.Request(address)  # noqa: S310  # the scheme was checked
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            data: bytes = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise ToolError(f"the file cannot be read: its address answers {error.code}") from None
    except (OSError, ValueError):
        raise ToolError("the file cannot be read: its address does not answer") from None
    if len(data) > MAX_BYTES:
        raise ToolError(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
    return data


def parse(data: bytes, sheet: str = "") -> Table:
    """The table in a CSV file, whatever its delimiter and encoding, or in a sheet of an Excel file.

    Raises:
        ToolError: It is no table.
    """
    lines = _sheet_rows(data, sheet) if data.startswith(b"PK\x03\x04") else _csv_rows(data)
    columns = _unique([name.strip() for name in lines[0]] if lines else [])
    if not columns or len(columns) > MAX_COLUMNS:
        raise ToolError("the file is not a CSV table, nor a sheet of columns")
    width = len(columns)
    return Table(columns, [(row + [""] * width)[:width] for row in lines[1:]])


def _csv_rows(data: bytes) -> list[list[str]]:
    text = _decoded(data)
    if not text.strip():
        raise ToolError("the file is empty")
    csv.field_size_limit(10_000_000)
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), _dialect(text)) if any(row)]
    except csv.Error as error:
        raise ToolError(f"the file is not a CSV table: {error}") from None


def _sheet_rows(data: bytes, name: str) -> list[list[str]]:
    import zipfile  # noqa: PLC0415 - an idle server does without

    import openpyxl  # noqa: PLC0415

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(item.file_size for item in packed.infolist()) > MAX_UNPACKED:
                raise ToolError("the file unpacks to too much")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets = {sheet.title.casefold(): sheet for sheet in book.worksheets}
        found = sheets.get(name.strip().casefold()) if name.strip() else next(iter(sheets.values()), None)
        if found is None:
            raise ToolError(f"there is no sheet '{name[:80]}'; sheets: {', '.join(book.sheetnames)}")
        found.reset_dimensions()  # a size that the file claims and does not have
        rows = [[_written(value) for value in row] for row in found.iter_rows(values_only=True)]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError):
        raise ToolError("the file is broken, or no Excel file (xlsx)") from None
    return [row for row in rows if any(row)]


def _written(value: object) -> str:
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).removesuffix("T00:00:00")
    return "" if value is None else str(value)


def _decoded(data: bytes) -> str:
    if b"\x00" in data[:1000] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ToolError("the file is binary, not a CSV table")
    for encoding in ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _dialect(text: str) -> type[csv.Dialect]:
    """The delimiter that cuts the first lines into equally many fields, and most of them."""
    sample = text[:20_000].splitlines()[:20]

    class Found(csv.excel):
        delimiter = max(",;\t|", key=lambda mark: _evenness(sample, mark))

    return Found


def _evenness(sample: Sequence[str], mark: str) -> tuple[bool, int]:
    counts = [len(row) for row in csv.reader(sample, delimiter=mark) if row]
    even = len(counts) > 0 and min(counts) == max(counts) and counts[0] > 1
    return even, counts[0] if counts else 0


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    counts: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        own = given = name or f"column {position}"
        while own in found:
            counts[given] = counts.get(given, 1) + 1
            own = f"{given}_{counts[given]}"
        found[own] = None
    return tuple(found)


_NUMBER = re.compile(r"[+-]?(?:\d[\d.,'\u00a0\u202f ]*|[.,]\d+)(?:[eE][+-]?\d{1,3})?")


def number(text: str) -> Decimal | None:
    """The number in a cell, also 1,234.50, 1.234,50, 1 234, $5, 12 % and (5); None for anything else."""
    cell = text.strip()
    negative = cell.startswith("(") and cell.endswith(")")
    cell = cell.strip("()").strip("$€£¥% \u00a0")
    if not _NUMBER.fullmatch(cell):
        return None
    try:
        value = Decimal(_without_separators(cell))
    except InvalidOperation:
        return None
    return -value if negative else value


def _without_separators(cell: str) -> str:
    cell = re.sub(r"['\u00a0\u202f ]", "", cell)
    dot, comma = cell.rfind("."), cell.rfind(",")
    if dot >= 0 and comma >= 0:
        decimal, thousands = (".", ",") if dot > comma else (",", ".")
        return cell.replace(thousands, "").replace(decimal, ".")
    if comma >= 0:
        groups = re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", cell)
        return cell.replace(",", "") if groups else cell.replace(",", ".")
    return cell.replace(".", "") if cell.count(".") > 1 else cell


def plain(value: Decimal) -> str:
    """The number without an exponent and without trailing zeros."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _mean(values: Sequence[Decimal]) -> Decimal:
    total = _sum(values)
    with localcontext() as context:
        context.prec = 28
        exact = total / len(values)
        if not context.flags[Inexact]:
            return exact
        context.prec = 15  # a quotient that goes on for ever needs no more digits
        return +exact


def _sum(values: Sequence[Decimal]) -> Decimal:
    with localcontext() as context:
        context.prec = 100
        return sum(values, Decimal(0))


_FUNCTIONS: dict[str, Callable[[Sequence[Decimal]], Decimal]] = {
    "sum": _sum,
    "mean": _mean,
    "min": min,
    "max": max,
}


def numbers_in(table: Table, column: int, rows: Sequence[list[str]]) -> tuple[list[Decimal], int]:
    """The numbers of a column, and how many filled cells hold something else."""
    cells = [row[column] for row in rows if row[column].strip()]
    found = [value for cell in cells if (value := number(cell)) is not None]
    return found, len(cells) - len(found)


def _as_csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _answer(results: dict[str, Any], name: str = "", content: str = "") -> str:
    """Result v2: the results, and a CSV file where one was made."""
    answer: dict[str, Any] = {"results": results}
    data = content.encode()
    if name and len(data) > MAX_ARTIFACT_BYTES:
        results["note"] = f"the result has {len(data)} bytes, too many for a file; filter it further"
    elif name:
        encoded = base64.b64encode(data).decode()
        answer["artifacts"] = [{"name": name, "b64": encoded, "mime": "text/csv", "size": len(data)}]
    return json.dumps(answer, ensure_ascii=False)


def _stem(address: str) -> str:
    """A file name to build on; signed addresses do not always show the file's own."""
    parts = urlsplit(address)
    last = unquote(parts.path).rpartition("/")[2] if parts.scheme != "data" else ""
    stem, dot, ending = last.rpartition(".")
    return re.sub(r"[^\w -]", "", stem)[:60] if dot and ending.lower() in ("csv", "xlsx") else "table"


def _load(filename: str, sheet: str) -> Table:
    return parse(fetch(filename), sheet)


@server.tool(annotations=READS, structured_output=False)
def describe(filename: Filename, sheet: Sheet = "") -> str:
    """Describe a CSV or Excel file: how many rows it has, and of each column its kind, range and examples."""
    table = _load(filename, sheet)
    columns = [_described(table, position) for position in range(len(table.columns))]
    return _answer({"rows": len(table.rows), "columns": columns})


def _described(table: Table, position: int) -> dict[str, Any]:
    cells = [row[position].strip() for row in table.rows]
    filled = [cell for cell in cells if cell]
    values, others = numbers_in(table, position, table.rows)
    about: dict[str, Any] = {"name": table.columns[position], "empty": len(cells) - len(filled)}
    if values and not others:
        return {**about, "kind": "number", "min": plain(min(values)), "max": plain(max(values))}
    distinct = dict.fromkeys(filled)
    return {**about, "kind": "text", "distinct": len(distinct), "examples": list(distinct)[:5]}


@server.tool(annotations=READS, structured_output=False)
def head(
    filename: Filename,
    rows: Annotated[int, Field(description="How many rows to show", ge=1, le=MAX_ROWS_SHOWN)] = 10,
    sheet: Sheet = "",
) -> str:
    """Show the first rows of a CSV or Excel file."""
    table = _load(filename, sheet)
    shown = [dict(zip(table.columns, row, strict=True)) for row in table.rows[:rows]]
    return _answer({"rows": shown, "of": len(table.rows)})


Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains"]


def matches(cell: str, test: str, value: str) -> bool:
    """Compare as numbers where both are, otherwise as text without regard to case."""
    if test == "contains":
        return value.strip().lower() in cell.lower()
    left: Any = number(cell)
    right: Any = number(value)
    if left is None or right is None:
        if test not in ("=", "!=") and (not cell.strip() or right is not None):
            return False  # an empty cell, or text beside a number, is neither less nor more
        left, right = cell.strip().lower(), value.strip().lower()
    comparisons: dict[str, bool] = {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }
    return comparisons[test]


@server.tool(name="filter", annotations=READS, structured_output=False)
def filter_rows(
    filename: Filename,
    column: Column,
    value: Annotated[str, Field(description="The value to compare with")],
    operator: Annotated[Operator, Field(description="How to compare")] = "=",
    sheet: Sheet = "",
) -> str:
    """Filter a CSV or Excel file: the rows where a column matches a value, also as a new CSV file."""
    table = _load(filename, sheet)
    position = table.index(column)
    found = [row for row in table.rows if matches(row[position], operator, value)]
    shown = [dict(zip(table.columns, row, strict=True)) for row in found[:20]]
    results = {"matching": len(found), "of": len(table.rows), "rows": shown}
    return _answer(results, f"{_stem(filename)}-filtered.csv", _as_csv(table.columns, found))


@server.tool(annotations=READS, structured_output=False)
def aggregate(
    filename: Filename,
    column: Column,
    function: Annotated[
        Literal["sum", "mean", "min", "max", "count"],
        Field(description="sum for a total, mean for an average, min, max, or count"),
    ] = "sum",
    by: Annotated[str, Field(description="Column to group by; empty for one number over all rows")] = "",
    artifact: Annotated[bool, Field(description="Also make a CSV file of the result")] = True,
    *,
    sheet: Sheet = "",
) -> str:
    """Total, sum, average, minimum, maximum or count of a column of a CSV or Excel file, also by group."""
    table = _load(filename, sheet)
    position = table.index(column)
    name, of = f"{function} of {table.columns[position]}", len(table.rows)
    results: dict[str, Any] = {"function": function, "column": table.columns[position], "rows": of}
    if by:
        group = table.index(by)
        pairs = [(key, _aggregated(table, position, rows, function)) for key, rows in _groups(table, group)]
        results |= {"by": table.columns[group], "groups": dict(pairs[:MAX_GROUPS_SHOWN])}
        if len(pairs) > MAX_GROUPS_SHOWN:
            results["note"] = f"{MAX_GROUPS_SHOWN} of {len(pairs)} groups are shown"
        content = _as_csv([table.columns[group], name], pairs)
    else:
        results["value"] = _aggregated(table, position, table.rows, function)
        content = _as_csv([name], [[results["value"]]])
    skipped = numbers_in(table, position, table.rows)[1] if function != "count" else 0
    if skipped:
        results["skipped"] = f"{skipped} cells are not numbers"
    return _answer(results, f"{_stem(filename)}-{function}.csv" if artifact else "", content)


def _groups(table: Table, position: int) -> list[tuple[str, list[list[str]]]]:
    found: dict[str, list[list[str]]] = {}
    for row in table.rows:
        found.setdefault(row[position].strip(), []).append(row)
    return list(found.items())


def _aggregated(table: Table, column: int, rows: Sequence[list[str]], function: str) -> str:
    if function == "count":
        return str(sum(1 for row in rows if row[column].strip()))
    values, others = numbers_in(table, column, rows)
    if values:
        return plain(_FUNCTIONS[function](values))
    if others and rows is table.rows:
        raise ToolError(f"the column '{table.columns[column]}' holds no numbers; count it instead")
    return "0" if function == "sum" else ""


if __name__ == "__main__":
    server.run()
