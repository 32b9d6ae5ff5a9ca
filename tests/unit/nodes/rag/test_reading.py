"""What is read of files of many kinds and encodings, and why others are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.words import is_row
from nodes.rag.reading import NotText, kind_of, passed_over, read_document
from nodes.rag.reading.html import text_of_html
from nodes.rag.reading.tables import text_of_table
from tests.growth.shapes import MOST_POWER, growth

SAID = "Die Gebühr beträgt 12 €, café naïve."
CYRILLIC = "Договор подписан вчера в Москве"


def read(folder: Path, name: str, content: bytes | str, *, most: int = 100_000) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_document(path, max_bytes=most).text


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso8859-15"]
)
def test_rd3_text_in_the_encodings_that_people_have(tmp_path: Path, encoding: str) -> None:
    said = SAID if encoding != "iso8859-15" else SAID.replace("€", "EUR")
    assert read(tmp_path, "a.txt", said.encode(encoding)) == said


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "cp866"])
def test_rd3_a_code_page_that_nobody_can_tell_is_no_gibberish(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(NotText, match="save it as UTF-8"):
        read(tmp_path, "a.txt", CYRILLIC.encode(encoding))


def test_rd3_a_page_says_its_encoding(tmp_path: Path) -> None:
    page = f'<html><head><meta charset="windows-1251"></head><body><p>{CYRILLIC}</p></body></html>'
    assert read(tmp_path, "a.html", page.encode("cp1251")) == CYRILLIC
    lying = '<meta charset="no-such"><p>Gebühr</p>'
    assert read(tmp_path, "b.html", lying.encode("cp1252")) == "Gebühr"


def test_rd3_a_broken_byte_costs_one_letter(tmp_path: Path) -> None:
    text = "größer und schöner, über Äcker " * 10
    assert read(tmp_path, "a.txt", text.encode() + b"\xff end").startswith(text)


@pytest.mark.parametrize("content", [b"a\0b", b"\0\1\2\3" * 50, b"\xff\xfe\xfa", bytes(range(1, 32)) * 9])
def test_rd3_what_is_binary_says_so(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NotText, match=r"binary|UTF-8"):
        read(tmp_path, "a.txt", content)


@pytest.mark.parametrize(
    "name",
    ["a.json", "b.yaml", "c.py", "d.html", "e.toml", "f.log", "g.sql", "h.ts", "Makefile", "README", "m.TXT"],
)
def test_rd3_these_kinds_are_read(name: str) -> None:
    assert kind_of(name) is not None
    assert passed_over(name) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "a.rtf",
            "texts of old Word, OpenDocument and others are not read; save it as DOCX or PDF",
        ),
        ("c.msg", "mails of Outlook are not read; save it as EML or MBOX"),
        (
            "d.XLS",
            "sheets of old Excel, OpenDocument and others are not read; save it as XLSX or CSV",
        ),
        ("e.png", "images are not read"),
        ("f.zip", "archives are not read"),
        ("g.xyz", "files that end in '.xyz' are not read"),
        ("id_rsa", "files without an ending are not read"),
    ],
)
def test_rd3_other_kinds_say_why_not(name: str, why: str) -> None:
    assert passed_over(name) == why


def test_rd3_a_file_that_is_named_outright_is_judged_too(tmp_path: Path) -> None:
    with pytest.raises(NotText, match="save it as DOCX or PDF"):
        read(tmp_path, "a.rtf", b"{\\rtf1 text}")
    assert read(tmp_path, "notes", "Plain text.") == "Plain text."
    with pytest.raises(NotText, match="larger than 10"):
        read(tmp_path, "large.txt", "x" * 11, most=10)
    with pytest.raises(NotText, match="cannot be read"):
        read_document(tmp_path / "gone.txt", max_bytes=10)


PAGE = """<!DOCTYPE html><html><head><title>Harbour &amp; co</title><style>p {color: red}</style>
<script>var secret = "<p>no</p>";</script></head><body><nav>Home</nav><h1>Berths</h1><!-- hidden <p>no</p> -->
<p>A berth costs <b>12&nbsp;€</b> a night.</p><ul><li>North pier<li>South pier</ul>
<table><tr><th>Pier</th><th>Depth</th></tr><tr><td>North</td><td>4&lt;5 m</td></tr>
<tr><td>South</td><td>3 m</td></tr></table>
</body></html>"""


def test_rd3_a_page_is_read_as_its_text() -> None:
    assert text_of_html(PAGE).split("\n\n") == [
        "# Harbour & co",
        "## Berths",
        "A berth costs 12 € a night.",
        "- North pier",
        "- South pier",
        "Pier: North; Depth: 4<5 m",
        "Pier: South; Depth: 3 m",
    ]


def test_rd3_a_page_that_is_none_is_text() -> None:
    assert text_of_html("a < b and c > d") == "a < b and c > d"
    assert text_of_html("<p>left open <!-- for ever") == "left open"
    assert text_of_html(
        "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td><td>3</td></tr></table>"
    ) == ("a: b\n\n1 | 2 | 3")
    assert text_of_html("") == ""


@pytest.mark.parametrize(
    "shape",
    [
        "<",
        "<a",
        "<!--",
        "<td>",
        "<tr><td>a",
        "<td rowspan=3>a",
        "<table><tr><td>",
        "<div hidden>",
        "<pre>\n",
        "&amp",
        "<p>a",
        "</p",
        "<script>",
        "<h1>",
    ],
)
def test_g1_2_a_page_takes_time_by_its_length(shape: str) -> None:
    def work(text: str) -> None:
        text_of_html(text)

    assert growth(work, lambda size: shape * (size // len(shape)), 5000) <= MOST_POWER


def test_rd3_json_for_machines_is_made_readable(tmp_path: Path) -> None:
    data = {"name": "Gebühr", "amount": 99.5, "rows": list(range(1000))}
    text = read(tmp_path, "a.json", json.dumps(data).replace("99.5", "99.50"))
    assert '"name": "Gebühr",\n "amount": 99.50,' in text
    written = '{\n  "a": 1\n}'
    assert read(tmp_path, "b.json", written) == written
    assert read(tmp_path, "c.json", '{"broken": "\\u00e4"') == '{"broken": "\\u00e4"'
    assert read(tmp_path, "d.json", "[" * 5000 + "\\u") == "[" * 5000 + "\\u"


def test_rd6_a_row_is_a_sentence_with_its_columns_names() -> None:
    table = 'invoice,customer,"amount, EUR"\nINV-1,"Smith, St. Mary",12.50\n\nINV-2,,"1,240.00"\n'
    rows = text_of_table(table).split("\n\n")
    assert rows == [
        "invoice: INV-1; customer: Smith, St. Mary; amount, EUR: 12.50",
        "invoice: INV-2; amount, EUR: 1,240.00",
    ]
    assert all(map(is_row, rows))


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_rd6_tables_are_parted_by_several_signs(sign: str) -> None:
    table = f"name{sign}price\npen{sign}1,20\nink{sign}3,40\n"
    assert text_of_table(table) == "name: pen; price: 1,20\n\nname: ink; price: 3,40"


def test_rd6_odd_tables_lose_nothing() -> None:
    assert text_of_table("sep=;\na;b\n1;2\n") == "a: 1; b: 2"
    assert text_of_table("1,2\n3,4\n") == "column 1: 1; column 2: 2\n\ncolumn 1: 3; column 2: 4"
    assert text_of_table("a,b\n1,2,3\n") == "a: 1; b: 2; column 3: 3"
    assert text_of_table('a,b\n"two\nlines",2\n') == "a: two lines; b: 2"
    assert text_of_table("just a line\nand another\n") == "just a line\nand another\n"
    assert text_of_table("") == ""
    endless = 'a,b\n1,"' + "x" * 1_100_000
    assert text_of_table(endless) == endless
