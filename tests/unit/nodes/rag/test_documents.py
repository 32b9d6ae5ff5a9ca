"""What is taken out of documents of each kind, and what is said of the rest."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from nodes.rag.adapters.documents.child import extracted
from nodes.rag.reading import Kind
from nodes.rag.reading.extract import Extract, Part, Unreadable, numbers
from tests.kit import documents as made


def texts(found: Extract) -> list[str]:
    return [part.text for part in found.parts]


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def read_word(body: str, **parts: str) -> str:
    return "\n\n".join(texts(extracted(Kind.WORD, made.word_of(body, parts=parts))))


def test_a_pdf_is_read_page_by_page_under_its_bookmarks() -> None:
    pages = [["Contents"], ["The boiler key hangs at desk 14."], ["Ask Eve."]]
    found = extracted(Kind.PDF, made.pdf(pages, marks={2: "Keys"}))
    assert found.parts == [
        Part("Contents", (), "page 1", "page=1"),
        Part("The boiler key hangs at desk 14.", ("Keys",), "page 2", "page=2"),
        Part("Ask Eve.", ("Keys",), "page 3", "page=3"),
    ]


def test_a_word_that_is_parted_at_a_lines_end_is_whole_again_and_a_compound_keeps_its_hyphen() -> None:
    lines = ["We ship inter-", "nationally, and the well-", "known form is well known."]
    [text] = texts(extracted(Kind.PDF, made.pdf([lines])))
    assert "internationally" in text
    assert "well-known" in text


def test_a_scan_says_that_it_is_one_and_a_page_that_is_a_picture_is_named() -> None:
    with pytest.raises(Unreadable, match="it is a scan"):
        extracted(Kind.PDF, made.scan())
    with pytest.raises(Unreadable, match="it has no text"):
        extracted(Kind.PDF, made.pdf([[]]))


def test_a_pdf_with_a_password_says_so() -> None:
    with pytest.raises(Unreadable, match="it needs a password"):
        extracted(Kind.PDF, made.pdf([["secret"]], password="x"))


def test_what_a_form_was_filled_in_with_is_read(tmp_path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    path = tmp_path / "form.pdf"
    canvas = Canvas(str(path))
    canvas.drawString(72, 720, "Name:")
    canvas.acroForm.textfield(name="name", value="Grace Hopper", x=120, y=710, width=200, height=20)
    canvas.save()
    assert "Grace Hopper" in " ".join(texts(extracted(Kind.PDF, path.read_bytes())))


def test_a_word_file_is_read_under_its_headings_with_lists_and_rows() -> None:
    found = extracted(Kind.WORD, made.word())
    assert [(part.path, part.text) for part in found.parts] == [
        (("Travel policy",), "Travel policy"),
        (
            ("Travel policy", "Trains"),
            "Trains\n\nBook trains a week ahead.\n\n- first class\n\nroute: Bern to Basel; price: 41.50",
        ),
        (("Travel policy", "Planes"), "Planes\n\nPlanes need a reason."),
    ]


def test_tracked_changes_are_read_as_accepted_and_hidden_text_is_not_read() -> None:
    body = (
        "<w:p><w:r><w:t>Rent is </w:t></w:r><w:del><w:r><w:delText>900</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>950</w:t></w:r></w:ins><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>"
        "<w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t> euros</w:t></w:r></w:moveTo>"
        "</w:p>"
    )
    assert read_word(body) == "Rent is 950 euros"


def test_what_other_readers_lose_of_a_word_file_is_read() -> None:
    body = (
        "<w:sdt><w:sdtContent>" + paragraph("in a control") + "</w:sdtContent></w:sdt>"
        "<w:p><w:fldSimple><w:r><w:t>field 7</w:t></w:r></w:fldSimple><w:r><w:noBreakHyphen/></w:r>"
        "<w:r><w:tab/></w:r><m:oMath><m:r><m:t>a+b</m:t></m:r></m:oMath></w:p>"
        "<w:p><w:r><w:t>before box</w:t></w:r><w:r><mc:AlternateContent><mc:Choice><w:txbxContent>"
        + paragraph("in the box")
        + "</w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent>"
        + paragraph("in the box")
        + "</w:txbxContent></mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )
    assert read_word(body).split("\n\n") == ["in a control", "field 7-\ta+b", "before box", "in the box"]


def test_a_footnote_stands_behind_its_paragraph() -> None:
    body = '<w:p><w:r><w:t>Twelve days.</w:t><w:footnoteReference w:id="2"/></w:r></w:p>' + paragraph("Next.")
    note = f'<w:footnote w:id="2">{paragraph("Part time: six.")}</w:footnote>'
    assert read_word(body, footnotes=note).split("\n\n") == ["Twelve days.", "Part time: six.", "Next."]


def test_a_heading_is_known_by_the_style_that_its_own_is_based_on() -> None:
    styles = (
        '<w:style w:styleId="H"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="H"/></w:style>'
    )
    body = paragraph("Rules", '<w:pPr><w:pStyle w:val="Mine"/></w:pPr>') + paragraph("No dogs.")
    [part] = extracted(Kind.WORD, made.word_of(body, parts={"styles": styles})).parts
    assert (part.path, part.text) == (("Rules",), "Rules\n\nNo dogs.")


def test_a_table_within_a_table_is_read() -> None:
    inner = f"<w:tbl><w:tr><w:tc>{paragraph('inner')}</w:tc></w:tr></w:tbl>"
    body = f"<w:tbl><w:tr><w:tc>{paragraph('outer')}{inner}</w:tc></w:tr></w:tbl>"
    assert read_word(body) == "outer inner"


def test_a_sheets_rows_are_sentences_with_numbers_as_the_sheet_shows_them() -> None:
    import io

    import openpyxl

    raw = made.workbook(
        {"Costs": [["Costs 2026"], [], ["item", "net", "tax", "day", "code"],
                   ["desk", 99.5, 0.19, dt.datetime(2026, 3, 2), "007"]]}
    )  # fmt: skip
    book = openpyxl.load_workbook(io.BytesIO(raw))
    sheet = book["Costs"]
    sheet["B4"].number_format, sheet["C4"].number_format, sheet["D4"].number_format = (
        "0.00",
        "0%",
        "DD.MM.YYYY",
    )
    out = io.BytesIO()
    book.save(out)
    [part] = extracted(Kind.SHEETS, out.getvalue()).parts
    assert part.text == "Costs 2026\n\nitem: desk; net: 99.50; tax: 19 %; day: 2026-03-02; code: 007"
    assert (part.path, part.where, part.fragment) == (("Costs",), "sheet 'Costs'", "Costs")


def test_a_sheet_of_more_rows_than_there_can_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = made.workbook({"S": [["a", "b"], ["c", "d"], ["e", "f"]]})
    monkeypatch.setattr("nodes.rag.adapters.documents.sheets._MOST_ROWS", 3)
    assert extracted(Kind.SHEETS, raw).parts
    monkeypatch.setattr("nodes.rag.adapters.documents.sheets._MOST_ROWS", 2)
    with pytest.raises(Unreadable, match="more than 2 rows"):
        extracted(Kind.SHEETS, raw)


def test_what_was_never_calculated_and_what_is_hidden_is_said() -> None:
    sheets: dict[str, list[list[object]]] = {
        "A": [["item", "sum"], ["desk", "=1+1"], ["lamp", True]],
        "B": [["secret"]],
    }
    found = extracted(Kind.SHEETS, made.workbook(sheets, hidden=["B"]))
    assert texts(found) == ["item: desk; sum: not calculated\n\nitem: lamp; sum: yes"]
    assert found.notes == [
        "sheet 'B' is hidden and not read",
        "some formulas were never calculated: open it in Excel and save it",
    ]


def test_two_tables_on_a_sheet_have_the_names_of_their_own_columns() -> None:
    rows: list[list[object]] = [
        ["name", "age"],
        ["Ada", 36],
        [],
        ["town", "country"],
        ["Bern", "CH"],
        [],
        ["Basel", "CH", 3],
    ]
    [text] = texts(extracted(Kind.SHEETS, made.workbook({"S": rows})))
    assert text.split("\n\n") == [
        "name: Ada; age: 36",
        "town: Bern; country: CH",
        "town: Basel; country: CH; column 3: 3",
    ]


def test_slides_are_read_with_tables_charts_and_notes_and_a_hidden_one_is_named() -> None:
    found = extracted(Kind.SLIDES, made.slides())
    assert [(part.path, part.where) for part in found.parts] == [
        (("Goals",), "slide 1"),
        (("Figures",), "slide 2"),
    ]
    first, second = texts(found)
    assert first == "Goals\n\nGrow by ten percent\n\nNotes:\n\nMention the new office."
    assert "region: north; sales: 12" in second
    assert "Visitors: 2025: 120; 2026: 150" in second
    assert found.notes == ["hidden and not read: slide 3"]


def test_a_mail_is_read_with_its_head_and_its_attachments() -> None:
    attached = [
        ("plan.docx", made.word()),
        ("list.csv", b"a,b\n1,2\n"),
        ("photo.png", b"x"),
        ("bad.pdf", b"x"),
    ]
    found = extracted(Kind.MAIL, made.mail(*attached))
    first = found.parts[0]
    assert first.text.split("\n\n")[1] == "The lift is serviced on Tuesday."
    assert first.text.startswith("From: Ada <ada@example.com>\nTo: bob@example.com\nDate: Mon, 02 Mar 2026")
    assert first.path == ("Wartung am Größten",)
    assert [part.where for part in found.parts[1:]] == ["attachment 'plan.docx'"] * 3 + [
        "attachment 'list.csv'"
    ]
    assert found.notes == [
        "attachment 'photo.png' is not read",
        "attachment 'bad.pdf': it is broken, or no PDF",
    ]


def test_a_mail_that_is_a_page_is_read_as_one_and_a_mail_in_a_mail_too() -> None:
    inner = made.mail(html="<p>Hello <b>there</b></p>")
    found = extracted(Kind.MAIL, made.mail(("old.eml", inner)))
    assert [part.where for part in found.parts] == ["", "attachment 'old.eml'"]
    assert "Hello there" in found.parts[1].text
    with pytest.raises(Unreadable, match="it is no e-mail"):
        extracted(Kind.MAIL, b"just text")


def test_attachments_beyond_the_hundredth_are_told() -> None:
    found = extracted(Kind.MAIL, made.mail(*((f"{number}.txt", b"words") for number in range(101))))
    assert len(found.parts) == 101
    assert found.notes == ["only the first 100 attachments are read"]


def test_of_many_notes_the_first_are_told() -> None:
    found = Extract(notes=[f"message {number}: it is no e-mail" for number in range(1, 31)])
    assert found.as_json()["notes"][-2:] == ["message 20: it is no e-mail", "and 10 more like these"]


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    pages = [
        "<html><body><h1>Two</h1><p>b</p></body></html>",
        "<html><body><h1>One</h1><p>a</p></body></html>",
    ]
    found = extracted(Kind.BOOK, made.book(pages))
    assert [(part.where, part.text) for part in found.parts] == [
        ("part 1", "# One\n\na"),
        ("part 2", "# Two\n\nb"),
    ]


def test_a_book_that_is_protected_says_so_and_one_with_hidden_fonts_is_read() -> None:
    page = "<html><body><p>words</p></body></html>"
    with pytest.raises(Unreadable, match="protected against copying"):
        extracted(Kind.BOOK, made.book([page], protected="OPS/text/0.xhtml"))
    assert texts(extracted(Kind.BOOK, made.book([page], protected="OPS/f.otf"))) == ["words"]


def test_a_notebook_is_read_with_what_its_cells_printed() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Study\n", "Why?"]},
        {
            "cell_type": "code",
            "source": "1 + 1",
            "outputs": [{"data": {"text/plain": ["2"], "image/png": "x"}}],
        },
    ]
    [text] = texts(extracted(Kind.NOTEBOOK, json.dumps({"cells": cells, "nbformat": 4}).encode()))
    assert text == "# Study\nWhy?\n\n```\n1 + 1\n```\n\n```\n2\n```"
    with pytest.raises(Unreadable, match="it is no notebook"):
        extracted(Kind.NOTEBOOK, b"[]")


@pytest.mark.parametrize("kind", [Kind.WORD, Kind.SHEETS, Kind.SLIDES])
def test_an_office_file_with_a_password_or_of_before_2007_says_so(kind: Kind) -> None:
    with pytest.raises(Unreadable, match="needs a password, or is older than Office 2007"):
        extracted(kind, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))


def test_numbers_in_a_row_are_told_as_one() -> None:
    assert numbers([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
