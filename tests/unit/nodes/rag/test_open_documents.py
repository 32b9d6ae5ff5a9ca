"""OpenDocument: texts, sheets and slides of LibreOffice."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import pytest

from nodes.rag.adapters.documents.child import extracted
from nodes.rag.reading import Kind, kind_of
from nodes.rag.reading.extract import Extract, Unreadable
from tests.kit.documents import zipped
from tests.kit.open_documents import cell, encrypted, opened, paragraph, table

HIDDEN = (
    '<style:style style:name="off" style:family="table">'
    '<style:table-properties table:display="false"/></style:style>'
    '<style:style style:name="gone" style:family="drawing-page">'
    '<style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
)


def read(kind: str, body: str, styles: str = HIDDEN, **parts: str) -> Extract:
    return extracted(Kind.OPEN, opened(kind, body, styles, **parts))


def told(kind: str, body: str, styles: str = HIDDEN, **parts: str) -> list[str]:
    return [block for part in read(kind, body, styles, **parts).parts for block in part.text.split("\n\n")]


def test_a_text_is_read_under_its_headings_with_lists_tables_boxes_and_notes() -> None:
    style = '<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>'
    said = "<text:note-body><text:p>By bell.</text:p></text:note-body>"
    note = f"<text:note><text:note-citation>1</text:note-citation>{said}</text:note>"
    call = "<text:h>By phone</text:h><text:p>Call 555.</text:p>"
    box = f"<draw:frame><draw:text-box><text:p>Or:</text:p>{call}</draw:text-box></draw:frame>"
    item = "<text:list><text:list-item><text:p>{}</text:p>{}</text:list-item></text:list>"
    items = item.format("rope", item.format("hemp", ""))
    body = (
        '<text:p text:style-name="P1">Harbour</text:p><text:h text:outline-level="1">Berths</text:h>'
        f"<text:p>Assigned<text:s text:c='2'/>at<text:tab/>six{note}.{box}</text:p>{items}"
        '<text:h text:outline-level="2">Fees</text:h>'
        + table(cell("Length") + cell("Fee"), cell("8 m") + cell("12 EUR"))
    )
    found = read("text", body, style)
    assert [(part.path, part.text.split("\n\n")) for part in found.parts] == [
        (("Harbour",), ["Harbour"]),
        (
            ("Harbour", "Berths"),
            ["Berths", "Assigned  at\tsix.", "By bell.", "Or:", "By phone", "Call 555.", "- rope", "- hemp"],
        ),
        (("Harbour", "Berths", "Fees"), ["Fees", "Length: 8 m; Fee: 12 EUR"]),
    ]


def test_changes_are_read_as_accepted_and_comments_are_not_read() -> None:
    region = "<text:changed-region><text:p>removed</text:p></text:changed-region>"
    gone = f"<text:tracked-changes>{region}</text:tracked-changes>"
    remark = "<office:annotation><text:p>a comment</text:p></office:annotation>"
    body = f"{gone}<text:p>It is <text:change-start/>added<text:change-end/>{remark}.</text:p>"
    assert told("text", body) == ["It is added."]


def test_a_formula_is_read_and_a_table_within_a_table() -> None:
    said = "<semantics><mi>E</mi><annotation>{E}</annotation></semantics>"
    formula = f'<math xmlns="http://www.w3.org/1998/Math/MathML">{said}</math>'
    body = paragraph('So <draw:frame><draw:object xlink:href="./F1"/></draw:frame> holds.')
    assert told("text", body, F1=formula) == ["So E holds."]
    within = table(cell("a") + cell("b"), cell("1") + cell("2"))
    inner = f"<table:table-cell>{within}{paragraph('end')}</table:table-cell>"
    assert told("text", table(cell("Kind") + cell("Detail"), cell("Outer") + inner)) == [
        "Kind: Outer; Detail: a: 1; b: 2 end"
    ]


def test_a_sheet_has_numbers_as_it_shows_them_and_dates_as_iso_has_them() -> None:
    rows = (
        cell("what") + cell("share") + cell("since") + cell("fee") + cell("open"),
        cell("North", rows_spanned="2")
        + cell("12.5%", value_type="percentage", value="0.125")
        + cell("07.03.24", value_type="date", date_value="2024-03-07")
        + cell("1,234.50 €", value_type="currency", value="1234.5")
        + cell("TRUE", value_type="boolean", boolean_value="true"),
        "<table:covered-table-cell/>"
        + cell("8%", value_type="percentage", value="0.0775")
        + cell("1.5.25 18:30", value_type="date", date_value="2025-05-01T18:30:00")
        + cell("#DIV/0!", value_type="string")
        + cell("25:15", value_type="time", time_value="PT25H15M00S"),
    )
    found = read("spreadsheet", table(*rows, name="Fees") + table(cell("x"), name="Pay", style="off"))
    assert found.parts[0].text.split("\n\n") == [
        "what: North; share: 12.5 %; since: 2024-03-07; fee: 1234.50; open: yes",
        "what: North; share: 8 %; since: 2025-05-01 18:30; fee: #DIV/0!; open: 25:15",
    ]
    assert (found.parts[0].where, found.notes) == ("sheet 'Fees'", ["sheet 'Pay' is hidden and not read"])


def test_what_is_repeated_stands_there_as_often_and_empty_rows_up_to_the_last_do_not() -> None:
    rows = table(
        cell("a") + cell("b") + cell("c"),
        cell("7", columns_repeated="3") + cell("", columns_repeated="16000"),
    )
    filled = rows.replace("</table:table>", "")
    again = (
        '<table:table-row table:number-rows-repeated="2">'
        + cell("x")
        + cell("y")
        + cell("z")
        + "</table:table-row>"
    )
    empty = (
        '<table:table-row table:number-rows-repeated="1048000">'
        + cell("", columns_repeated="16384")
        + "</table:table-row>"
    )
    assert told("spreadsheet", f"{filled}{again}{empty}</table:table>") == [
        "a: 7; b: 7; c: 7",
        "a: x; b: y; c: z",
        "a: x; b: y; c: z",
    ]


def test_a_cell_that_is_repeated_to_do_harm_is_not_said_for_ever() -> None:
    long = "x" * 10_000
    row = '<table:table-row table:number-rows-repeated="900000">' + cell(long, columns_repeated="900000")
    found = read("spreadsheet", f'<table:table table:name="T">{row}</table:table-row></table:table>')
    assert found.chars < 5_000_000


def test_slides_are_read_with_title_table_and_notes_and_a_hidden_one_is_named() -> None:
    frame = "<draw:frame{}><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"
    title = frame.format(' presentation:class="title"', "Docks")
    body = f"<draw:frame>{table(cell('dock') + cell('cranes'), cell('east') + cell('7'))}</draw:frame>"
    group = "<draw:g><draw:custom-shape><text:p>One</text:p></draw:custom-shape></draw:g>"
    notes = f"<presentation:notes>{frame.format('', 'Say why.')}</presentation:notes>"
    page = f"<draw:page>{body}{title}{group}{notes}</draw:page>"
    found = read("presentation", page + f'<draw:page draw:style-name="gone">{title}</draw:page>')
    assert [(part.path, part.where, part.text.split("\n\n")) for part in found.parts] == [
        (("Docks",), "slide 1", ["Docks", "dock: east; cranes: 7", "One", "Notes:", "Say why."])
    ]
    assert found.notes == ["hidden and not read: slide 2"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (encrypted(), "it needs a password; a copy without one is read"),
        (opened("text", ""), "it has no text"),
        (opened("text", "<text:p>cut")[:200], "it is broken, or of another kind than its name says"),
        (b"{\\rtf1}", "it is broken, or of another kind than its name says"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        extracted(Kind.OPEN, raw)


def test_depth_that_does_harm_ends() -> None:
    with pytest.raises(Unreadable, match=r"'content\.xml' is no XML"):
        read("text", "<text:section>" * 5_000 + paragraph("too deep") + "</text:section>" * 5_000)


def test_its_names_are_known() -> None:
    assert {kind_of(f"a.{suffix}") for suffix in ("odt", "ods", "odp", "ott")} == {Kind.OPEN}


def made_with(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as package:
        return zipped({name: change(package.read(name)) for name in package.namelist()})


def test_styles_are_known_by_their_namespace_and_not_by_their_prefix() -> None:
    style = '<style:style style:name="P1" style:parent-style-name="Title"/>'
    raw = opened("text", '<text:p text:style-name="P1">Harbour</text:p>', style)
    otherwise = made_with(raw, lambda xml: re.sub(rb"(?<=[ <])style(?=:)|(?<=xmlns:)style(?==)", b"s", xml))
    assert b"<s:style s:name" in zipfile.ZipFile(io.BytesIO(otherwise)).read("content.xml")
    [part] = extracted(Kind.OPEN, otherwise).parts
    assert part.path == ("Harbour",)


def test_a_text_deep_within_sections_is_read() -> None:
    assert told("text", "<text:section>" * 150 + paragraph("rope") + "</text:section>" * 150) == ["rope"]


def test_a_heading_is_of_the_tenth_level_at_most() -> None:
    body = "".join(f'<text:h text:outline-level="{level}">H{level}</text:h>' for level in range(1, 31))
    assert max(len(part.path) for part in read("text", body).parts) == 10
