"""What somebody took out of sight is not read and said to be left out; a filter and a fold hide nothing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import openpyxl
import pytest
from openpyxl.worksheet.dimensions import ColumnDimension
from openpyxl.worksheet.table import Table

from nodes.rag.adapters.documents import odf, sheets, slides, word
from nodes.rag.adapters.documents.concealed import in_excel
from nodes.rag.adapters.documents.ooxml import Package
from nodes.rag.reading.extract import Extract
from nodes.rag.reading.tables import heads_alone
from tests.kit import documents as made
from tests.kit import open_documents as opened


def said(found: Extract) -> str:
    return "\n".join(part.text for part in found.parts)


def book(change: str) -> bytes:
    """A table of lamps with something of it hidden, as openpyxl writes it."""
    made_of = openpyxl.Workbook()
    sheet = made_of.worksheets[0]
    sheet.title = "Lamps"
    sheet.append(["Item", "Margin", "Price"])
    for number in range(1, 8):
        sheet.append([f"Lamp {number}", f"margin{number}", number])
    if change == "rows":
        for number in (3, 4, 6):
            sheet.row_dimensions[number].hidden = True
    elif change == "column":
        sheet.column_dimensions["B"].hidden = True
    elif change == "rest":
        rest = ColumnDimension(sheet, index="D", min=4, max=16_384, hidden=True)
        sheet.column_dimensions["D"] = rest
        sheet.row_dimensions[20].hidden = True
    else:
        sheet.row_dimensions[3].hidden = True
        if change == "filter":
            sheet.auto_filter.ref = "A1:C8"
        elif change == "table":
            sheet.add_table(Table(displayName="Lamps", ref="A1:C8"))
        else:
            sheet.row_dimensions.group(3, 3, hidden=True)
    out = io.BytesIO()
    made_of.save(out)
    return out.getvalue()


def test_hidden_rows_of_a_sheet_are_left_out_by_number() -> None:
    found = sheets.read(book("rows"))
    assert [f"Lamp {n}" in said(found) for n in range(1, 8)] == [True, False, False, True, False, True, True]
    assert found.notes == ["hidden and not read: rows 3-4, 6 of sheet 'Lamps'"]


def test_a_hidden_column_is_left_out_by_its_letter() -> None:
    found = sheets.read(book("column"))
    assert "Item: Lamp 1; Price: 1" in said(found)
    assert "margin" not in said(found).lower()
    assert found.notes == ["hidden and not read: column B of sheet 'Lamps'"]


@pytest.mark.parametrize("change", ["filter", "table", "group", "rest"])
def test_what_is_filtered_or_folded_is_read_and_what_is_empty_is_not_told(change: str) -> None:
    found = sheets.read(book(change))
    assert "Item: Lamp 2; Margin: margin2; Price: 2" in said(found)
    assert found.notes == []


def test_a_broken_table_of_a_sheet_and_a_broken_file_of_styles_cost_only_themselves() -> None:
    with zipfile.ZipFile(io.BytesIO(book("table"))) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = b"no XML"
    assert in_excel_of(parts) == "hidden and not read: row 3 of sheet 'Lamps'"
    text = opened.opened("text", "<text:p>Seen</text:p>")
    with zipfile.ZipFile(io.BytesIO(text)) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    assert said(odf.read(made.zipped(parts | {"styles.xml": b"no XML"}))) == "Seen"


def in_excel_of(parts: dict[str, bytes]) -> str:
    """What a workbook of these parts hides."""
    package = Package(made.zipped(parts))
    path = "xl/worksheets/sheet1.xml"
    concealed = in_excel(package.bytes(path), sheets._tables(package, path))
    list(concealed.without([["a"], ["b"], ["c"]]))
    return concealed.note("Lamps")


def open_table(columns: str, *rows: str) -> bytes:
    return opened.opened(
        "spreadsheet", f'<table:table table:name="Lamps">{columns}{"".join(rows)}</table:table>'
    )


@pytest.mark.parametrize(
    "written",
    [
        (b' hidden="1"', b" hidden='1'"),
        (b' hidden="1"', b' hidden = "true"'),
        (b'<row r="3"', b'<row spans="1:3 &gt;>" r="3"'),
        (b' r="3"', b""),
    ],
)
def test_what_is_hidden_is_left_out_however_its_xml_is_written(written: tuple[bytes, bytes]) -> None:
    before, after = written
    for kind, gone, left in (("rows", "Lamp 2", "Lamp 4"), ("column", "margin2", "Lamp 2")):
        found = sheets.read(rewritten(book(kind), lambda sheet: sheet.replace(before, after)))
        assert (gone in said(found), left in said(found)) == (False, True)


def test_what_is_hidden_in_a_sheet_in_utf_16_is_left_out() -> None:
    found = sheets.read(rewritten(book("rows"), lambda sheet: sheet.decode().encode("utf-16")))
    assert ("Lamp 2" in said(found), "Lamp 4" in said(found)) == (False, True)


def rewritten(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, change(part) if name.startswith("xl/worksheets/sheet") else part)
    return out.getvalue()


def row(*cells: str, of: str = "") -> str:
    return f"<table:table-row{of}>{''.join(map(opened.cell, cells))}</table:table-row>"


def test_hidden_rows_and_columns_of_an_open_document_are_left_out() -> None:
    columns = (
        "<table:table-header-columns><table:table-column/></table:table-header-columns>"
        '<table:table-column table:visibility="collapse"/><table:table-column/>'
    )
    shut = ' table:visibility="collapse"'
    found = odf.read(
        open_table(
            columns,
            row("Item", "Margin", "Price"),
            row("Red lamp", "high", "nine"),
            row("Green lamp", "low", "eight", of=shut),
            row("Blue lamp", "low", "seven", of=' table:visibility="filter"'),
            f"<table:table-row-group>{row('White lamp', 'low', 'six', of=shut)}</table:table-row-group>",
        )
    )
    assert said(found).split("\n\n") == [
        "Item: Red lamp; Price: nine",
        "Item: Blue lamp; Price: seven",
        "Item: White lamp; Price: six",
    ]
    assert found.notes == ["hidden and not read: row 3 and column B of sheet 'Lamps'"]


def test_text_that_a_style_of_word_hides_is_not_read() -> None:
    styles = (
        '<w:style w:type="character" w:styleId="Ghost"><w:rPr><w:vanish/></w:rPr></w:style>'
        '<w:style w:type="character" w:styleId="Child"><w:basedOn w:val="Ghost"/></w:style>'
        '<w:style w:type="character" w:styleId="Back"><w:basedOn w:val="Ghost"/>'
        '<w:rPr><w:vanish w:val="0"/></w:rPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Gone"><w:rPr><w:vanish/></w:rPr></w:style>'
    )

    def run(style: str, text: str) -> str:
        return f'<w:r><w:rPr><w:rStyle w:val="{style}"/></w:rPr><w:t>{text} </w:t></w:r>'

    body = (
        f"<w:p>{run('Ghost', 'one')}{run('Child', 'two')}{run('Back', 'three')}</w:p>"
        '<w:p><w:pPr><w:pStyle w:val="Gone"/></w:pPr><w:r><w:t>four</w:t></w:r></w:p>'
    )
    found = word.read(made.word_of(body, parts={"styles": styles}))
    assert (said(found), found.notes) == ("three", ["hidden text is not read"])


def test_text_that_a_style_of_an_open_document_hides_is_not_read() -> None:
    styles = (
        '<style:style style:name="Ghost"><style:text-properties text:display="none"/></style:style>'
        '<style:style style:name="Child" style:parent-style-name="Ghost"/>'
    )
    body = (
        '<text:p>Seen <text:span text:style-name="Ghost">one </text:span>there</text:p>'
        '<text:p text:style-name="Child">two</text:p>'
        '<text:section text:display="none"><text:p>three</text:p></text:section>'
    )
    found = odf.read(opened.opened("text", body, styles))
    assert (said(found), found.notes) == ("Seen there", ["hidden text is not read"])


def test_a_shape_that_is_hidden_on_a_slide_is_not_read() -> None:
    shape = '<draw:frame draw:display="none"><draw:text-box><text:p>one</text:p></draw:text-box></draw:frame>'
    number = (
        '<presentation:notes><draw:frame presentation:class="page-number"><draw:text-box>'
        "<text:p>7</text:p></draw:text-box></draw:frame></presentation:notes>"
    )
    seen = "<draw:frame><draw:text-box><text:p>two</text:p></draw:text-box></draw:frame>"
    slide = f"<draw:page>{shape}{seen}{number}</draw:page>"
    found = odf.read(opened.opened("presentation", slide))
    assert (said(found), found.notes) == ("two", ["hidden text is not read"])


def test_a_shape_that_is_hidden_on_a_slide_of_powerpoint_is_not_read() -> None:
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Harbour"
    for text in ("seen", "gone"):
        box = slide.shapes.add_textbox(Inches(1), Inches(1), Inches(2), Inches(1))
        box.text_frame.text = text
    box._element.nvSpPr.cNvPr.set("hidden", "1")
    out = io.BytesIO()
    deck.save(out)
    found = slides.read(out.getvalue())
    assert (said(found), found.notes) == ("Harbour\n\nseen", ["hidden and not read: some of slide 1"])


def test_heads_of_columns_that_nobody_filled_are_read_all_the_same() -> None:
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>".format
    rows = (("Item", "Margin", "Signed by"), ("Red lamp", "high", ""), ("Blue lamp", "", ""))
    table = "".join(f"<w:tr>{''.join(map(cell, row))}</w:tr>" for row in rows)
    expected = ["Item: Red lamp; Margin: high", "Item: Blue lamp", "Signed by"]
    assert said(word.read(made.word_of(f"<w:tbl>{table}</w:tbl>"))).split("\n\n") == expected
    filled = openpyxl.Workbook()
    for row in rows:
        filled.worksheets[0].append(row)
    out = io.BytesIO()
    filled.save(out)
    assert said(sheets.read(out.getvalue())).split("\n\n")[-1] == "Signed by"


def test_a_head_that_is_too_long_for_a_name_is_read_whole() -> None:
    assert list(heads_alone(["a" * 81, "b", ""], [["1", "2", ""]])) == ["a" * 81]
    assert list(heads_alone(["a", "b"], [["", "2"], ["1"]])) == []
