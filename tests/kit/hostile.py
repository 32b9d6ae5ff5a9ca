"""Documents that nobody means well with, made with code: what each is stands in its name.

None of them makes a program crash that is outside of Waystation; what is wrong with each is only that it
is far too much, not what it says it is, cut, locked, or built without end.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from email.message import EmailMessage

from tests.kit import documents as made

_UNPACKED = 101_000_000  # a little more than is read
_NOISE = bytes(range(256)) * 40
# What Office writes instead of a ZIP for a file with a password.
_LOCKED = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000) + "EncryptedPackage".encode("utf-16-le")


def _bomb(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, b" " * _UNPACKED)
    return out.getvalue()


def _half(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _pdf_of(page: bytes, *, kids: str = "3 0 R") -> bytes:
    """A PDF of one page with this content, packed."""
    packed = zlib.compress(page, 1)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count 1 >>".encode(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
    ]
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer << /Root 1 0 R /Size 5 >>\nstartxref\n%d\n%%%%EOF" % table)


def _word_of_entities() -> bytes:
    grown = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    head = f'<!DOCTYPE d [<!ENTITY e0 "x">{grown}]><w:document xmlns:w="{made.W}"><w:body><w:p><w:r>'
    return made.zipped({"word/document.xml": f"{head}<w:t>&e8;</w:t></w:r></w:p></w:body></w:document>"})


def _word_of_elsewhere() -> bytes:
    head = f'<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/hostname">]><w:document xmlns:w="{made.W}">'
    body = "<w:body><w:p><w:r><w:t>&f;</w:t></w:r></w:p></w:body></w:document>"
    return made.zipped({"word/document.xml": head + body})


def _sheet(cells: str) -> bytes:
    """A workbook whose one sheet holds this XML."""
    with zipfile.ZipFile(io.BytesIO(made.workbook({"S": [["a"]]}))) as archive:
        files: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    files["xl/worksheets/sheet1.xml"] = (
        f'<worksheet xmlns="{space}"><sheetData>{cells}</sheetData></worksheet>'
    )
    return made.zipped(files)


def _huge_sheet() -> bytes:
    return _sheet("<row><c><v>1</v></c></row>" * 1_100_000)


def _wide_sheet() -> bytes:
    return _sheet('<row r="1">' + "<c><v>7</v></c>" * 16_384 + "</row>")


def _slides_without_a_slide() -> bytes:
    space = "http://schemas.openxmlformats.org/presentationml/2006/main"
    return made.zipped({"ppt/presentation.xml": f'<p:p xmlns:p="{space}"><p:sldId id="1"/></p:p>'})


def _mails_in_mails(depth: int) -> bytes:
    raw = made.mail()
    for _ in range(depth):
        raw = made.mail(("inner.eml", raw))
    return raw


def _mail_without_words() -> bytes:
    message = EmailMessage()
    message.add_attachment(_NOISE, maintype="application", subtype="octet-stream", filename="a.bin")
    return message.as_bytes()


def _endless_mail() -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=x\n\n"
    return head + b"--x\nContent-Type: multipart/mixed; boundary=x\n\n" * 1_500


def _book_that_reads_itself() -> bytes:
    items = '<manifest><item id="c" href="book.opf"/></manifest>' + '<spine><itemref idref="c"/></spine>' * 9
    container = '<container><rootfile full-path="OPS/book.opf"/></container>'
    return made.zipped({"META-INF/container.xml": container, "OPS/book.opf": f"<package>{items}</package>"})


REFUSED: Mapping[str, tuple[str, Callable[[], bytes], str]] = {
    "a PDF that was cut": ("cut.pdf", lambda: _half(made.pdf([["words"]] * 9)), "broken|no page"),
    "a PDF that is a picture file": ("picture.pdf", lambda: b"\x89PNG\r\n\x1a\n" + _NOISE, "broken"),
    "a PDF with a password": ("locked.pdf", lambda: made.pdf([["x"]], password="x"), "password"),
    "a PDF that is a scan": ("scan.pdf", lambda: made.scan(3), "it is a scan"),
    "a PDF whose page unpacks to 200 MB": (
        "bomb.pdf",
        lambda: _pdf_of(b" " * 200_000_000),
        "scan|too much|no ",
    ),
    "a PDF whose pages are each other's parents": (
        "loop.pdf",
        lambda: _pdf_of(b"", kids="2 0 R"),
        "broken|no |scan",
    ),
    "a text that unpacks to 100 MB": ("bomb.docx", lambda: _bomb("word/document.xml"), "too much"),
    "a text with elements 5,000 deep": (
        "deep.docx",
        lambda: made.word_of("<w:sdt>" * 5000 + "<w:p/>" + "</w:sdt>" * 5000),
        "broken|no text",
    ),
    "a text whose entities grow": ("entities.docx", _word_of_entities, "broken|no text"),
    "a text that asks for another file": ("elsewhere.docx", _word_of_elsewhere, "broken|no text"),
    "a text with a password": ("locked.docx", lambda: _LOCKED, "password|before 2007"),
    "a text of 20,001 parts": (
        "parts.docx",
        lambda: made.zipped({f"{n}.xml": "" for n in range(20_001)}),
        "too many parts",
    ),
    "a sheet that unpacks to 100 MB": ("bomb.xlsx", lambda: _bomb("xl/worksheets/a.xml"), "broken|too much"),
    "a sheet of more rows than Excel has": ("huge.xlsx", _huge_sheet, "more than 1048576 rows"),
    "a sheet that was cut": ("cut.xlsx", lambda: _half(made.workbook({"S": [["a"]]})), "broken"),
    "a sheet that is a text": ("text.xlsx", made.word, "broken"),
    "a sheet with a password": ("locked.xlsx", lambda: _LOCKED, "password|before 2007"),
    "slides that unpack to 100 MB": ("bomb.pptx", lambda: _bomb("ppt/presentation.xml"), "too much"),
    "slides that were cut": ("cut.pptx", lambda: _half(made.slides()), "broken"),
    "slides without the slide": ("missing.pptx", _slides_without_a_slide, "is missing"),
    "slides with a password": ("locked.pptx", lambda: _LOCKED, "password|before 2007"),
    "a page that is a picture file": ("picture.html", lambda: b"\x89PNG\r\n\x1a\n\0" + _NOISE, "binary"),
    "a page of more bytes than are read": ("large.html", lambda: b"<p>x</p>" * 20_000, "larger than"),
    "a page without a word": ("empty.html", lambda: b"<script>words()</script>" * 900, "no words"),
    "a mail that is noise": ("noise.eml", lambda: _NOISE * 4, "no e-mail"),
    "a mail with nothing to read": ("silent.eml", _mail_without_words, "no e-mail"),
    "a mail of parts without end": ("endless.eml", _endless_mail, "no e-mail"),
    "a book that unpacks to 100 MB": ("bomb.epub", lambda: _bomb("META-INF/container.xml"), "too much"),
    "a book that was cut": ("cut.epub", lambda: _half(made.book(["<p>words</p>"] * 9)), "broken"),
    "a book that is protected": (
        "locked.epub",
        lambda: made.book(["<p>x</p>"], protected="OPS/text/0.xhtml"),
        "copying",
    ),
    "a book whose chapters are itself": ("itself.epub", _book_that_reads_itself, "no text|broken|no words"),
    "JSON that is binary": ("binary.json", lambda: _NOISE, "binary"),
    "JSON of more bytes than are read": ("large.json", lambda: b'["x"]' * 40_000, "larger than"),
    "YAML that is binary": ("binary.yaml", lambda: b"a: \0\0\0\1" * 50, "binary"),
    "YAML of more bytes than are read": ("large.yaml", lambda: b"a: b\n" * 40_000, "larger than"),
    "a table that is binary": ("binary.csv", lambda: b"a,b\n\0\1\2\3" * 50, "binary"),
    "a table of more bytes than are read": ("large.csv", lambda: b"a,b\n" * 60_000, "larger than"),
}
"""What each is: (name of the file, its content, what is said of it, one of several)."""

READ: Mapping[str, tuple[str, Callable[[], bytes], str]] = {
    "a sheet of 16,384 columns": ("wide.xlsx", _wide_sheet, "column"),
    "a page of elements 9,000 deep": (
        "deep.html",
        lambda: b"<div>" * 9_000 + b"quagga</div>" * 3_000,
        "quagga",
    ),
    "a mail within 12 mails": ("nested.eml", lambda: _mails_in_mails(12), "lift"),
    "JSON nested 40,000 deep": ("deep.json", lambda: b"[" * 40_000 + b'"okapi"' + b"]" * 40_000, "okapi"),
    "JSON with a number of 50,000 digits": (
        "number.json",
        lambda: b'{"axolotl": ' + b"9" * 50_000 + b"}",
        "axolotl",
    ),
    "YAML whose anchors would grow without end": (
        "anchors.yaml",
        lambda: (
            b"a0: &a0 [tapir]\n"
            + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 99))
        ),
        "tapir",
    ),
    "a table of 13,000 columns": (
        "wide.csv",
        lambda: b",".join(b"k%d" % n for n in range(13_000)) + b"\nnumbat",
        "numbat",
    ),
    "a table with a quote that never ends": ("quote.csv", lambda: b'name,"' + b"wombat\n" * 9_000, "wombat"),
}
"""What is read all the same, as far as it goes: (name, content, a word of it)."""
