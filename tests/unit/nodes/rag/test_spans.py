"""A cell is read under its names, whatever it is merged with; and what stands beside it is not lost."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest

from nodes.rag.reading import Extractor, NotText, read_document
from nodes.rag.reading.html import text_of_html
from nodes.rag.reading.spans import MOST_OF_A_NAME, MOST_REPEATED, Cell, Grid, under
from nodes.rag.reading.tables import text_of_table
from tests.kit import documents as made


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor() as one:
        yield one


def blocks(extractor: Extractor, folder: Path, name: str, raw: bytes) -> list[str]:
    path = folder / name
    path.write_bytes(raw)
    return read_document(path, max_bytes=10**6, extractor=extractor).text.split("\n\n")


def html(rows: str, before: str = "") -> list[str]:
    return text_of_html(f"{before}<table>{rows}</table>").split("\n\n")


HEADS = "<tr><th>Name<th>Jan<th>Feb</tr>"


def test_a_cell_over_two_columns_of_a_page_stands_under_both_names() -> None:
    assert html(f"{HEADS}<tr><td>Hose<td colspan=2>12</tr>") == ["Name: Hose; Jan, Feb: 12"]


def test_a_cell_over_two_rows_of_a_page_stands_in_both() -> None:
    first = '<tr><td rowspan="2">Clip</td><td>3</td><td>4</td></tr><tr><td>5</td><td>6</td></tr>'
    rows = f"{first}<tr><td>Nut<td>7<td>8"
    assert html(HEADS + rows) == [
        "Name: Clip; Jan: 3; Feb: 4",
        "Name: Clip; Jan: 5; Feb: 6",
        "Name: Nut; Jan: 7; Feb: 8",
    ]


def test_two_rows_of_heads_name_a_column_together() -> None:
    heads = "<tr><th rowspan=2>Region<th colspan=2>2025</tr><tr><th>plan<th>real</tr>"
    assert html(f"{heads}<tr><td>North<td>1<td>2</tr>") == ["Region: North; 2025 plan: 1; 2025 real: 2"]


def test_a_first_row_of_words_names_the_columns_of_a_page_without_heads() -> None:
    rows = "<tr><td>Name<td>Price<td>Stock</tr><tr><td>Hose<td>12<td>5</tr>"
    assert html(rows) == ["Name: Hose; Price: 12; Stock: 5"]
    assert html("<tr><td>Name<td>Price<td>Stock</tr>") == ["Name | Price | Stock"]
    assert html("<tr><td>a<td>b<td>c</tr><tr><td>one cell</tr>") == ["a | b | c", "one cell"]
    assert html("<tr><td>Cable<td>10 m</tr><tr><td>Depth<td>20 m</tr>") == ["Cable: 10 m", "Depth: 20 m"]
    assert html("<tr><td>1<td>2<td>3</tr><tr><td>4<td>5<td>6</tr>") == ["1 | 2 | 3", "4 | 5 | 6"]


def test_a_table_within_a_table_loses_neither() -> None:
    inner = "<table><tr><td>inner</td></tr></table>"
    assert html(f"<tr><td>before {inner} after</td><td>beside</td></tr>") == [
        "before",
        "inner",
        "after",
        "beside",
    ]
    assert text_of_html(f"<table><tr><td>left{inner}").split("\n\n") == ["left", "inner"]


def test_cells_that_claim_to_be_endless_cost_nothing() -> None:
    rows = "<tr><td colspan=9999 rowspan=9999>a</td><td>b</td></tr>" + "<tr><td>c</td></tr>" * 50
    assert html(f"<tr><th>x<th>y</tr>{rows}")[0] == "a: b"


@pytest.mark.slow
def test_what_reaches_down_is_said_again_only_so_often() -> None:
    wide = f"<tr>{'<td rowspan=2000>' + 'a' * 200}{'<td rowspan=2000>b' * 3000}</tr>"
    page = f"<table>{HEADS}{wide}{'<tr></tr>' * 2000}</table>"
    assert len(text_of_html(page * 3)) < 3 * MOST_REPEATED


def test_a_long_name_of_a_column_is_not_said_whole_in_each_row(tmp_path: Path) -> None:
    rows = f"{'x' * 100_000},y\n" + "1,2\n" * 2000
    assert text_of_table(rows).split("\n\n")[0] == f"{'x' * MOST_OF_A_NAME}: 1; y: 2"
    many = ",".join(f"{'x' * 79}{n}" for n in range(300))
    path = tmp_path / "a.csv"
    path.write_text(f"{many}\n" + f"{'1,' * 300}\n" * 2000)
    with pytest.raises(NotText, match="it is too much text"):
        read_document(path, max_bytes=10**7)


def test_what_a_page_hides_is_not_read() -> None:
    page = (
        "<div hidden>one <div>two</div> three</div><span style='color:red; display: none'>four</span>"
        '<p title="the hidden word">five</p><section class="hidden-xs" data-x="hidden">six</section>'
        "<img hidden><p>seven</p>"
    )
    assert text_of_html(page).split("\n\n") == ["five", "six", "seven"]


def test_lines_that_are_written_as_they_stand_stay_lines() -> None:
    page = "<h1>Run</h1><pre># no heading\n  serve &amp;<br>wait</pre><pre>one</pre><p>a\nb"
    assert text_of_html(page).split("\n\n") == [
        "# Run",
        "```\n# no heading\n  serve &\nwait\n```",
        "one",
        "a b",
    ]


def test_a_line_above_a_table_names_no_column() -> None:
    said = text_of_table("Report of June\n\nname,price\nhose,12\nclip,3\n").split("\n\n")
    assert said == ["Report of June", "name: hose; price: 12", "name: clip; price: 3"]
    assert text_of_table("a,\nb,\n").split("\n\n") == ["a: b"]


def test_years_name_columns_beside_words_and_not_among_years() -> None:
    assert text_of_table("Region,2025,2026\nNorth,5,6\n") == "Region: North; 2025: 5; 2026: 6"
    assert text_of_table("Rivo,2020\nTalpa,2021\n").split("\n\n")[0] == "column 1: Rivo; column 2: 2020"
    assert text_of_table("2024,2025\n1,2\n").startswith("column 1: 2024")
    assert text_of_table("Region,12\nNorth,5\n").startswith("column 1: Region")


def test_a_workbook_has_years_for_names_and_merged_cells_in_each_row(
    extractor: Extractor, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (["Region", "Product", 2025], ["North", "hose", 5], [None, "clip", 6], ["South", "hose", 7]):
        sheet.append(row)
    sheet.merge_cells("A2:A3")
    sheet["D1"], sheet["D2"] = "Who", "Ada"
    sheet.merge_cells("D2:D4")
    out = io.BytesIO()
    book.save(out)
    assert blocks(extractor, tmp_path, "a.xlsx", out.getvalue()) == [
        "Region: North; Product: hose; 2025: 5; Who: Ada",
        "Region: North; Product: clip; 2025: 6; Who: Ada",
        "Region: South; Product: hose; 2025: 7; Who: Ada",
    ]


def word_row(*cells: str) -> str:
    return f"<w:tr>{''.join(cells)}</w:tr>"


def word_cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"


def test_merged_cells_of_word_stand_under_their_names_in_each_row(
    extractor: Extractor, tmp_path: Path
) -> None:
    down, on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    table = (
        word_row(word_cell("Sales", '<w:gridSpan w:val="3"/>'))
        + word_row(word_cell("Region"), word_cell("2025"), word_cell("2026"))
        + word_row(word_cell("North"), word_cell("both", '<w:gridSpan w:val="2"/>'))
        + word_row(word_cell("South", down), word_cell("1"), word_cell("2"))
        + word_row(word_cell("", on), word_cell("3"), word_cell("4"))
        + word_row(word_cell("note", '<w:gridSpan w:val="3000000"/>'))
    )
    assert blocks(extractor, tmp_path, "a.docx", made.word_of(f"<w:tbl>{table}</w:tbl>")) == [
        "Sales",
        "Region: North; 2025, 2026: both",
        "Region: South; 2025: 1; 2026: 2",
        "Region: South; 2025: 3; 2026: 4",
        "note",
    ]


def test_text_of_a_mail_behind_its_body_is_read(extractor: Extractor, tmp_path: Path) -> None:
    part = "--B\nContent-Type: text/plain\n\n"
    notes = "Content-Type: text/plain\nContent-Disposition: attachment; filename=n.txt\n\nnotes\n"
    raw = (
        "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n"
        f"{part}the body\n{part}and a footer\n--B\n{notes}--B--\n"
    )
    assert blocks(extractor, tmp_path, "a.eml", raw.encode()) == [
        "From: a@example.com",
        "the body",
        "and a footer",
        "notes",
    ]


def test_latin_1_that_somebody_claims_is_windows_1252(extractor: Extractor, tmp_path: Path) -> None:
    mail = b"From: a@example.com\nContent-Type: text/plain; charset=iso-8859-1\n\n12,50 \x80 \x96 neu"
    assert blocks(extractor, tmp_path, "a.eml", mail)[1] == "12,50 € – neu"
    page = b'<meta charset="iso-8859-1"><p>12,50 \x80</p>'
    assert blocks(extractor, tmp_path, "a.html", page) == ["12,50 €"]


def test_a_row_that_ends_early_keeps_what_reaches_down_into_it() -> None:
    grid = Grid()
    grid.row([Cell("a"), Cell("b"), Cell("c", down=3)])
    assert [cell.text for cell in grid.row([Cell("d")])] == ["d", "", "c"]
    assert [cell.text for cell in grid.row([Cell("e", across=3)])] == ["e"]
    assert [cell.text for cell in grid.row([Cell("f")])] == ["f"]
    assert under(["x"], [Cell("1"), Cell("2", across=2)]) == (["x", "column 2"], ["1", "2"])
