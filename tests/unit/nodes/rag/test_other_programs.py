"""Documents as LaTeX, pandoc, LibreOffice, browsers and mail programs write them."""

from __future__ import annotations

import io
import mailbox
from email import message_from_bytes
from pathlib import Path

import openpyxl
import pytest
from reportlab.pdfgen.canvas import Canvas

from nodes.rag.adapters.documents.child import extracted
from nodes.rag.reading import Kind
from nodes.rag.reading.html import text_of_html
from tests.kit import documents as made

MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
COMPATIBLE = "http://schemas.openxmlformats.org/markup-compatibility/2006"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
SLIDE = "http://schemas.openxmlformats.org/presentationml/2006/main"


def drawn(
    lines: list[str], *, marks: dict[int, str] | None = None, turned: int = 0, up: bool = False
) -> bytes:
    """A page; `marks` are bookmarks by line, `turned` is how a viewer turns it, `up` writes up its side."""
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.setPageRotation(turned)
    if up:
        canvas.translate(600, 0)
        canvas.rotate(90)
    for place, line in enumerate(lines):
        if marks and place in marks:
            canvas.bookmarkPage(str(place))
            canvas.addOutlineEntry(marks[place], str(place), 0)
        for column, cell in enumerate(line.split("|")):
            canvas.drawString(72 + 150 * column, 520 - 20 * place, cell)
    canvas.showPage()
    canvas.drawString(72, 700, "The next page.")
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def placed(raw: bytes) -> list[tuple[tuple[str, ...], str]]:
    """Headings and text of each part."""
    return [(part.path, part.text) for part in extracted(Kind.PDF, raw).parts]


def test_a_page_with_several_bookmarks_is_parted_at_its_headings() -> None:
    lines = ["Survey", "1 Sediment", "Mud is grey.", "2 Dredging", "It is postponed."]
    assert placed(drawn(lines, marks={1: "Sediment", 3: "Dredging"})) == [
        ((), "Survey"),
        (("Sediment",), "1 Sediment\nMud is grey."),
        (("Dredging",), "2 Dredging\nIt is postponed."),
        (("Dredging",), "The next page."),
    ]


def test_of_bookmarks_whose_words_are_not_on_the_page_none_names_what_stands_there() -> None:
    assert placed(drawn(["Mud is grey.", "It is postponed."], marks={0: "Part A", 1: "Part B"})) == [
        ((), "Mud is grey.\nIt is postponed."),
        (("Part B",), "The next page."),
    ]


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_page_is_read_from_its_first_line_to_its_last_however_a_viewer_turns_it(turned: int) -> None:
    lines = ["The first line of the page is here", "the second goes on with it", "and the third ends it."]
    assert placed(drawn(lines, turned=turned))[0][1] == "\n".join(lines)


@pytest.mark.parametrize("turned", [0, 90])
def test_rows_that_run_up_a_page_stay_rows(turned: int) -> None:
    lines = ["Buoy|Colour", "17|violet", "18|amber"]
    assert placed(drawn(lines, turned=turned, up=True))[0][1] == "Buoy Colour\n17 violet\n18 amber"


def slide(shapes: str, **notes: str) -> bytes:
    """A presentation of one slide."""
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relation = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    to = f'<Relationship Id="r1" Type="{kinds}/{{}}" Target="{{}}"/>'
    names = (
        f'xmlns:p="{SLIDE}" xmlns:a="{DRAWING}" xmlns:r="{kinds}" xmlns:m="{MATH}" xmlns:mc="{COMPATIBLE}"'
    )
    return made.zipped(
        {
            "_rels/.rels": relation.format(to.format("officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": f'<p:presentation {names}><p:sldId r:id="r1"/></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relation.format(to.format("slide", "slide1.xml")),
            "ppt/slide1.xml": f"<p:sld {names}>{shapes}</p:sld>",
            "ppt/_rels/slide1.xml.rels": relation.format(to.format("notesSlide", "notes1.xml")),
            "ppt/notes1.xml": f"<p:notes {names}>{notes.get('notes', '')}</p:notes>",
        }
    )


def shape(words: str, kind: str = "") -> str:
    place = f"<p:nvPr>{kind}</p:nvPr>"
    return f"<p:sp>{place}<p:txBody><a:p>{words}</a:p></p:txBody></p:sp>"


def test_a_formula_on_a_slide_is_read_and_what_stands_there_for_old_programs_is_not_read_again() -> None:
    new = shape("<a:r><a:t>Energy </a:t></a:r><m:oMath><m:r><m:t>E=mc2</m:t></m:r></m:oMath>")
    old = shape("<a:r><a:t>Energy </a:t></a:r>")
    forms = f"<mc:Choice>{new}</mc:Choice><mc:Fallback>{old}</mc:Fallback>"
    both = f"<mc:AlternateContent>{forms}</mc:AlternateContent>"
    assert [part.text for part in extracted(Kind.SLIDES, slide(both)).parts] == ["Energy E=mc2"]
    picture = f"<mc:AlternateContent><mc:Choice/><mc:Fallback>{old}</mc:Fallback></mc:AlternateContent>"
    assert [part.text for part in extracted(Kind.SLIDES, slide(picture)).parts] == ["Energy"]


def test_a_speakers_notes_are_read_whatever_kind_of_shape_they_stand_in() -> None:
    number = shape("<a:r><a:t>1</a:t></a:r>", '<p:ph type="sldNum"/>')
    notes = shape("<a:r><a:t>Mention the strike.</a:t></a:r>") + number
    [part] = extracted(Kind.SLIDES, slide(shape("<a:r><a:t>Docks</a:t></a:r>"), notes=notes)).parts
    assert part.text == "Docks\n\nNotes:\n\nMention the strike."


def test_a_note_within_a_table_stands_behind_the_table_and_under_its_heading() -> None:
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r>{}</w:p></w:tc>"
    row = cell.format("Fee", "") + cell.format("12", '<w:r><w:footnoteReference w:id="2"/></w:r>')
    body = f"<w:tbl><w:tr>{row}</w:tr></w:tbl>"
    note = "<w:p><w:r><w:t>Per day.</w:t></w:r></w:p>"
    parts = {"footnotes": f'<w:footnote w:id="2">{note}</w:footnote>'}
    found = extracted(Kind.WORD, made.word_of(body, parts=parts))
    assert [part.text for part in found.parts] == ["Fee: 12\n\nPer day."]


def test_times_of_a_sheet_are_times_and_spans_may_be_longer_than_a_day(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (
        ["what", "when"],
        ["clock", 25.25 / 24],
        ["span", 25.25 / 24],
        ["day", 45358],
        ["both", 45358.5],
    ):
        sheet.append(row)
    for at, form in (("B2", "hh:mm"), ("B3", "[h]:mm"), ("B4", "yyyy-mm-dd"), ("B5", "dd.mm.yyyy hh:mm")):
        sheet[at].number_format = form
    out = io.BytesIO()
    book.save(out)
    assert extracted(Kind.SHEETS, out.getvalue()).parts[0].text.split("\n\n") == [
        "what: clock; when: 01:15",
        "what: span; when: 25:15",
        "what: day; when: 2024-03-07",
        "what: both; when: 2024-03-07 12:00",
    ]


def test_a_formula_of_a_page_is_read_once_and_words_of_folded_parts_stay_apart() -> None:
    formula = (
        "<p>Energy is <math><semantics><mi>E</mi><annotation encoding='x-tex'>E = mc^2</annotation>"
        "</semantics></math> always.</p>"
    )
    assert text_of_html(formula) == "Energy is E always."
    assert text_of_html("<details><summary>Fees</summary>12 EUR</details>") == "Fees\n\n12 EUR"
    assert text_of_html("<p>a<math><annotation>b</math>c</p>") == "ac"


def test_a_pages_title_is_not_told_again_by_its_first_heading() -> None:
    assert (
        text_of_html("<head><title>Berths</title></head><h1>Berths</h1><h2>Fees</h2>")
        == "## Berths\n\n### Fees"
    )
    assert text_of_html("<head><title>Tidewater</title></head><h1>Berths</h1>") == "# Tidewater\n\n## Berths"


def test_the_file_name_of_a_chapter_is_no_heading() -> None:
    page = "<html><head><title>ch001.xhtml</title></head><body><h1>Berths</h1></body></html>"
    assert extracted(Kind.BOOK, made.book([page])).parts[0].text == "## Berths"


def test_a_mailbox_is_read_message_by_message(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "box")
    box.add(message_from_bytes(made.mail(("list.csv", b"a,b\n1,2\n"))))
    box.add("Subject: Tides\n\nHello.\nFrom here the tide is high.\n")
    box.add("no head\n\nat all\n")
    box.close()
    found = extracted(Kind.MAIL, (tmp_path / "box").read_bytes())
    assert [(part.path, part.where) for part in found.parts] == [
        (("Wartung am Größten",), "message 1"),
        (("Wartung am Größten",), "message 1, attachment 'list.csv'"),
        (("Tides",), "message 2"),
    ]
    assert found.parts[2].text.endswith("Hello.\nFrom here the tide is high.")
    assert found.parts[2].fragment == "message=2"
    assert found.notes == ["message 3: it is no e-mail"]


def test_a_page_that_a_browser_saved_in_one_file_is_read_as_a_page() -> None:
    saved = (
        "From: <Saved by Blink>\r\nSnapshot-Content-Location: http://x.example/\r\nSubject: Berths\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/related; type="text/html"; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "<h1>Berths</h1><p>Gr=C3=B6=C3=9Fe: 8 m</p>\r\n"
        "--b\r\nContent-Type: text/css\r\n\r\nbody {}\r\n--b--\r\n"
    )
    [part] = extracted(Kind.SAVED, saved.encode()).parts
    assert (part.path, part.text) == (("Berths",), "# Berths\n\nGröße: 8 m")
