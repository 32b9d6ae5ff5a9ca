"""Documents as other programs write them: made by their own libraries, or part by part where these cannot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage

import docx
import openpyxl
from pptx import Presentation
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def pdf(
    pages: Sequence[Sequence[str]], *, marks: Mapping[int, str] | None = None, password: str = ""
) -> bytes:
    """A page for each list of lines; `marks` are bookmarks by page."""
    out = io.BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption(password, strength=128) if password else None)
    for number, lines in enumerate(pages, start=1):
        if marks and number in marks:
            canvas.bookmarkPage(str(number))
            canvas.addOutlineEntry(marks[number], str(number), 0)
        for place, line in enumerate(lines):
            canvas.drawString(72, 720 - 20 * place, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def scan(pages: int = 1) -> bytes:
    """A PDF whose pages are pictures."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    out = io.BytesIO()
    canvas = Canvas(out)
    for _ in range(pages):
        canvas.drawImage(ImageReader(Image.new("RGB", (40, 40), "grey")), 72, 600, 100, 100)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def word() -> bytes:
    """What python-docx writes: a title, headings, a list, a table."""
    document = docx.Document()
    document.add_heading("Travel policy", 0)
    document.add_heading("Trains", 1)
    document.add_paragraph("Book trains a week ahead.")
    document.add_paragraph("first class", style="List Bullet")
    table = document.add_table(2, 2)
    for row, cells in zip(table.rows, (("route", "price"), ("Bern to Basel", "41.50")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.add_heading("Planes", 1)
    document.add_paragraph("Planes need a reason.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def word_of(body: str, *, parts: Mapping[str, str] | None = None) -> bytes:
    """A DOCX with this XML in its body; `parts` are others by kind (`footnotes`)."""
    given = parts or {}
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{_OFFICE}/{kind}" Target="{kind}.xml"/>'
        for n, kind in enumerate(given)
    )
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    m = "http://schemas.openxmlformats.org/officeDocument/2006/math"
    spaces = f'xmlns:w="{W}" xmlns:mc="{mc}" xmlns:m="{m}"'
    return zipped(
        {
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": _related(_relation("officeDocument", "word/document")),
            "word/_rels/document.xml.rels": _related(relations),
            "word/document.xml": f"<w:document {spaces}><w:body>{body}</w:body></w:document>",
            **{f"word/{kind}.xml": f"<w:{kind} {spaces}>{xml}</w:{kind}>" for kind, xml in given.items()},
        }
    )


def _relation(kind: str, part: str = "") -> str:
    return f'<Relationship Id="{kind}" Type="{_OFFICE}/{kind}" Target="{part or kind}.xml"/>'


def _related(relations: str) -> str:
    return f'<Relationships xmlns="{_RELATIONS}">{relations}</Relationships>'


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]], *, hidden: Sequence[str] = ()) -> bytes:
    """What openpyxl writes."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in rows:
            sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def slides() -> bytes:
    """What python-pptx writes: a title and text with notes, a table, a chart, and a slide that is hidden."""
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Goals"
    first.placeholders[1].text = "Grow by ten percent"
    first.notes_slide.notes_text_frame.text = "Mention the new office."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Figures"
    box = (Inches(1), Inches(2), Inches(6), Inches(2))
    table = second.shapes.add_table(2, 2, *box).table
    for place, text in enumerate(("region", "sales", "north", "12")):
        table.cell(place // 2, place % 2).text = text
    data = CategoryChartData()
    data.categories = ["2025", "2026"]
    data.add_series("Visitors", (120, 150))
    second.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *box, data)
    third = deck.slides.add_slide(deck.slide_layouts[1])
    third.shapes.title.text = "Draft"
    third._element.set("show", "0")
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def mail(*attachments: tuple[str, bytes], html: str = "") -> bytes:
    """A message of Python's own library."""
    message = EmailMessage()
    message["From"], message["To"] = "Ada <ada@example.com>", "bob@example.com"
    message["Subject"], message["Date"] = "Wartung am Größten", "Mon, 02 Mar 2026 09:00:00 +0100"
    message.set_content("The lift is serviced on Tuesday.")
    if html:
        message.clear_content()
        message.set_content(html, subtype="html")
    for name, content in attachments:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def book(chapters: Sequence[str], *, protected: str = "") -> bytes:
    """An EPUB of these pages; `protected` is a file of it that is encrypted."""
    items = "".join(f'<item id="c{n}" href="text/{n}.xhtml"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in reversed(range(len(chapters))))
    files = {
        "META-INF/container.xml": '<container><rootfile full-path="OPS/book.opf"/></container>',
        "OPS/book.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
        **{f"OPS/text/{n}.xhtml": page for n, page in enumerate(chapters)},
    }
    if protected:
        files["META-INF/encryption.xml"] = f'<e><CipherReference URI="{protected}"/></e>'
    return zipped(files)


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A ZIP of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()
