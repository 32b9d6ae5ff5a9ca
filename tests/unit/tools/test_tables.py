"""Tables: any CSV over real HTTP, exact numbers, results that carry files."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import openpyxl
import pytest
from mcp.server.fastmcp.exceptions import ToolError

from tools.tables import server as tables

SALES = """region,product,amount,note
North,Tea,"1,200.10",a
South,Tea,99.90,
North,Coffee,0.2,b
South,Coffee,0.1,b
"""


class _Files(BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}  # noqa: RUF012  # filled by the fixture

    def do_GET(self) -> None:
        data = self.files.get(self.path.partition("?")[0])
        self.send_response(200 if data is not None else 403)
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    _Files.files = {"/sales.csv": SALES.encode(), "/empty.csv": b"", "/image.csv": b"\x89PNG\x00\x01"}
    server = HTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Berths"
    for row in (["Berth", "Fee", "Since"], ["North", 12.5, dt.datetime(2026, 1, 2)], ["South", 15, None], []):
        sheet.append(row)
    book.create_sheet("Boats").append(["Boat"])
    book["Boats"].append(["Gull"])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def inline(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return "data:text/csv;base64," + base64.b64encode(data).decode()


def results(answer: str) -> Any:
    return json.loads(answer)["results"]


def artifact(answer: str) -> tuple[str, str]:
    (found,) = json.loads(answer)["artifacts"]
    return found["name"], base64.b64decode(found["b64"]).decode()


def test_describe_tells_rows_columns_and_kinds(root: str) -> None:
    found = results(tables.describe(f"{root}/sales.csv?signature=x"))
    assert found["rows"] == 4
    columns = {column["name"]: column for column in found["columns"]}
    assert columns["amount"] == {
        "name": "amount",
        "empty": 0,
        "kind": "number",
        "min": "0.1",
        "max": "1200.1",
    }
    assert columns["region"]["examples"] == ["North", "South"]
    assert columns["note"]["empty"] == 1


def test_head_shows_the_first_rows(root: str) -> None:
    found = results(tables.head(f"{root}/sales.csv", 1))
    assert found == {
        "rows": [{"region": "North", "product": "Tea", "amount": "1,200.10", "note": "a"}],
        "of": 4,
    }


def test_a_total_by_group_is_exact_and_comes_as_a_file(root: str) -> None:
    answer = tables.aggregate(f"{root}/sales.csv?signature=x", "amount", "sum", by="region")
    assert results(answer)["groups"] == {"North": "1200.3", "South": "100"}
    name, content = artifact(answer)
    assert (name, content) == ("sales-sum.csv", "region,sum of amount\nNorth,1200.3\nSouth,100\n")


@pytest.mark.parametrize(
    ("function", "expected"),
    [("sum", "1300.3"), ("mean", "325.075"), ("min", "0.1"), ("max", "1200.1"), ("count", "4")],
)
def test_every_function_over_all_rows(root: str, function: Any, expected: str) -> None:
    answer = tables.aggregate(f"{root}/sales.csv", " AMOUNT ", function, artifact=False)
    assert results(answer)["value"] == expected
    assert "artifacts" not in json.loads(answer)


def test_cells_that_are_no_numbers_are_counted() -> None:
    found = results(tables.aggregate(inline("a\n1\n2\nx\n\n"), "a", "mean"))
    assert (found["value"], found["skipped"]) == ("1.5", "1 cells are not numbers")
    assert results(tables.aggregate(inline("a\n1\n1\n2\n"), "a", "mean"))["value"] == "1.33333333333333"
    with pytest.raises(ToolError, match="holds no numbers; count it instead"):
        tables.aggregate(inline("a\nx\n"), "a")
    assert results(tables.aggregate(inline("a,b\nx,\n"), "b"))["value"] == "0"
    groups = results(tables.aggregate(inline("g,a\nx,\ny,1\n"), "a", "max", by="g"))["groups"]
    assert groups == {"x": "", "y": "1"}


def test_many_groups_are_shown_in_part_and_filed_whole() -> None:
    text = "g,a\n" + "".join(f"g{n},{n}\n" for n in range(300))
    answer = tables.aggregate(inline(text), "a", by="g")
    assert len(results(answer)["groups"]) == 200
    assert results(answer)["note"] == "200 of 300 groups are shown"
    assert artifact(answer)[1].count("\n") == 301


def test_filter_gives_the_rows_and_a_file(root: str) -> None:
    answer = tables.filter_rows(f"{root}/sales.csv", "region", "north")
    assert results(answer)["matching"] == 2
    assert artifact(answer) == (
        "sales-filtered.csv",
        'region,product,amount,note\nNorth,Tea,"1,200.10",a\nNorth,Coffee,0.2,b\n',
    )


def test_a_result_too_large_for_a_file_says_so() -> None:
    answer = tables.filter_rows(inline("a\n" + f"{'x' * 1000}\n" * 1600), "a", "x", "contains")
    assert "too many for a file" in results(answer)["note"]


@pytest.mark.parametrize(
    ("cell", "operator", "value", "expected"),
    [
        ("10", ">", "9", True),
        ("1,000", "=", "1000", True),
        ("a", "<", "b", True),
        ("a", "<=", "A", True),
        ("b", ">=", "c", False),
        ("x", "!=", "y", True),
        ("", "<", "5", False),
        ("n/a", "<", "5", False),
        ("Green Tea", "contains", "tea", True),
    ],
)
def test_cells_compare_as_numbers_where_they_are(
    cell: str, operator: str, value: str, expected: bool
) -> None:
    assert tables.matches(cell, operator, value) is expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1 234", "1234"),
        ("1'234", "1234"),
        ("1,5", "1.5"),
        ("1,234", "1234"),
        ("1.234.567", "1234567"),
        ("$5", "5"),
        ("12 %", "12"),
        ("(5)", "-5"),
        ("-3e2", "-3e2"),
        (".5", ".5"),
        ("0.1", "0.1"),
        ("", None),
        ("n/a", None),
        ("1-2", None),
        ("1.2,3.4,5", None),
    ],
)
def test_numbers_are_read_as_people_write_them(cell: str, expected: str | None) -> None:
    assert tables.number(cell) == (Decimal(expected) if expected is not None else None)


@pytest.mark.parametrize("text", ["a;b\n1,5;x\n", "a\tb\n1,5\tx\n", "a|b\n1,5|x\n"])
def test_the_delimiter_is_found(text: str) -> None:
    assert tables.parse(text.encode()) == tables.Table(("a", "b"), [["1,5", "x"]])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_found(encoding: str) -> None:
    assert tables.parse("größe,b\n1,2\n".encode(encoding)).columns == ("größe", "b")


def test_short_rows_double_names_and_odd_bytes_do_no_harm() -> None:
    table = tables.parse(b"a,a,\n1\n1,2,3,4\n\n\x81,,\n")
    assert table.columns == ("a", "a_2", "column 3")
    assert table.rows == [["1", "", ""], ["1", "2", "3"], ["\x81", "", ""]]


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("sales.csv", "'sales.csv' is not a file of this conversation"),
        ("file:///etc/passwd", "is not a file of this conversation"),
        ("http://127.0.0.1:9/none.csv", "its address does not answer"),
        ("http://[", "its address does not answer"),
        (inline(b""), "the file is empty"),
        (inline(b"\x00\x01"), "binary, not a CSV"),
        (inline("\n,\n"), "not a CSV table"),
        (inline(",".join("x" * 1 for _ in range(1001))), "not a CSV table"),
        (inline('a\n"' + "x" * 10_000_001), "not a CSV table"),
    ],
)
def test_what_cannot_be_read_is_said_clearly(address: str, complaint: str) -> None:
    with pytest.raises(ToolError, match=complaint):
        tables.describe(address)


def test_answers_of_the_file_server_are_told_apart(root: str) -> None:
    with pytest.raises(ToolError, match="its address answers 403"):
        tables.head(f"{root}/missing.csv")
    with pytest.raises(ToolError, match="the file is empty"):
        tables.head(f"{root}/empty.csv")
    with pytest.raises(ToolError, match="binary"):
        tables.head(f"{root}/image.csv")


def test_an_unknown_column_lists_those_that_are_there(root: str) -> None:
    with pytest.raises(ToolError, match="no column 'prize'; columns: region, product, amount, note"):
        tables.aggregate(f"{root}/sales.csv", "prize")


def test_sheets_of_an_excel_file_are_tables_too() -> None:
    book = inline(workbook())
    assert results(tables.head(book))["rows"] == [
        {"Berth": "North", "Fee": "12.5", "Since": "2026-01-02"},
        {"Berth": "South", "Fee": "15", "Since": ""},
    ]
    assert results(tables.aggregate(book, "Fee"))["value"] == "27.5"
    assert results(tables.head(book, sheet="boats"))["rows"] == [{"Boat": "Gull"}]
    with pytest.raises(ToolError, match="there is no sheet 'Cars'; sheets: Berths, Boats"):
        tables.describe(book, sheet="Cars")
    with pytest.raises(ToolError, match="broken, or no Excel file"):
        tables.describe(inline(workbook()[:900]))
