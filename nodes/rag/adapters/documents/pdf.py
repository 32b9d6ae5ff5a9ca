"""PDF: the text layer page by page, as PDFium finds it; bookmarks are the headings."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pypdfium2 as pdfium
from pypdfium2 import raw as pdfium_c

from nodes.rag.adapters.documents.bookmarks import Headings, Mark
from nodes.rag.adapters.documents.columns import MOST_BOXES, Box, regions
from nodes.rag.reading.extract import MOST_CHARS, Extract, Unreadable, numbers

MOST_PAGES = 10_000
_MOST_TITLE = 200
# Of a page, that are looked at to tell in which direction it is written.
_LETTERS = 200
_PASSWORD = 4  # FPDF_ERR_PASSWORD
# PDFium's sign for a hyphen at the end of a line; the line's end is gone.
_SOFT = "\x02"
_CUT = re.compile(r"([^\W\d_]{1,60})\x02\s{0,4}([^\W\d_]{1,60})")
_WORD = re.compile(r"[^\W\d_]+")


def read(raw: bytes) -> Extract:
    """The pages with text. A page that is a picture is named in the notes.

    Raises:
        Unreadable: It is broken, needs a password, or has no text at all.
    """
    document = _opened(raw)
    try:
        document.init_forms()
        return _pages(document)
    finally:
        document.close()


def _opened(raw: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(raw)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            raise Unreadable("it needs a password; a copy without one is read") from None
        raise Unreadable("it is broken, or no PDF") from None


def _pages(document: pdfium.PdfDocument) -> Extract:
    count = len(document)
    texts: list[str] = []
    pictures: list[int] = []
    broken: list[int] = []
    for index in range(min(count, MOST_PAGES)):
        try:
            text, picture = _page(document, index)
        except pdfium.PdfiumError:
            text, picture = "", False
            broken.append(index + 1)
        texts.append(text)
        pictures += [index + 1] * picture
    found = Extract()
    words = Counter(word.lower() for text in texts for word in _WORD.findall(text))
    headings = Headings(sorted(_marks(document), key=lambda mark: mark.page))
    for number, text in enumerate(texts, start=1):
        for path, said in headings.parts(number, _rejoined(text, words)):
            found.add([said], path, f"page {number}", f"page={number}")
    if found.chars > MOST_CHARS:
        raise Unreadable("it is too much text")
    if not found.parts:
        why = "it is a scan: its pages are pictures without text" if pictures else "it has no text"
        raise Unreadable(why)
    told = (
        (pictures, f"pictures without text: page {numbers(pictures)}"),
        (broken, f"broken: page {numbers(broken)}"),
        (count > MOST_PAGES, f"only its first {MOST_PAGES} pages are read"),
    )
    found.notes += [note for there, note in told if there]
    return found


def _page(document: pdfium.PdfDocument, index: int) -> tuple[str, bool]:
    """A page's text, and whether it is a picture without any."""
    page = document[index]
    try:
        if document.formenv:
            # What was filled in becomes part of the page, which has to be loaded again to show it.
            page.flatten()
            page = _again(document, index, page)
        if page.get_rotation() and _runs(page) == 0:
            # PDFium reads the lines of such a page from the last to the first.
            page.set_rotation(0)
            page = _again(document, index, page)
        text = page.get_textpage()
        try:
            said = _said(page, text).replace("\r\n", "\n").replace("\r", "\n").strip()
        finally:
            text.close()
        picture = not said and any(True for _ in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE]))
        return said.replace("\x00", "\ufffd").replace("\ufffe", _SOFT), picture
    finally:
        page.close()


def _said(page: pdfium.PdfPage, text: pdfium.PdfTextPage) -> str:
    """A page's text in the order of reading: column by column, also where it was drawn across them."""
    boxes = list(_boxes(text))
    if _direction(text) % 180:
        # Lines that run up or down the page: PDFium finds no end of theirs.
        return "\n".join(" ".join(box.text.strip() for box in line) for line in _upright_lines(boxes))
    parts = regions(boxes, *page.get_size())
    if not parts:
        return str(text.get_text_bounded())
    read = (text.get_text_bounded(part.left, part.bottom, part.right, part.top) for part in parts)
    return "\n".join(said for said in (str(one).strip() for one in read) if said)


def _again(document: pdfium.PdfDocument, index: int, page: pdfium.PdfPage) -> pdfium.PdfPage:
    page.close()
    return document[index]


def _runs(page: pdfium.PdfPage) -> int:
    text = page.get_textpage()
    try:
        return _direction(text)
    finally:
        text.close()


def _direction(text: pdfium.PdfTextPage) -> int:
    """The angle at which most of a page's letters stand, in whole degrees."""
    count = text.count_chars()
    looked_at = range(0, count, max(1, count // _LETTERS))
    angles = Counter(round(math.degrees(pdfium_c.FPDFText_GetCharAngle(text.raw, at))) for at in looked_at)
    return angles.most_common(1)[0][0] % 360 if angles else 0


def _upright_lines(boxes: Sequence[Box]) -> Iterator[list[Box]]:
    """What stands in one line of those that run up or down, as it was drawn."""
    line: list[Box] = []
    for box in boxes:
        if line and not line[-1].left <= (box.left + box.right) / 2 <= line[-1].right:
            yield line
            line = []
        line.append(box)
    if line:
        yield line


def _boxes(text: pdfium.PdfTextPage) -> Iterator[Box]:
    count = text.count_rects()
    for index in range(count if count <= MOST_BOXES else 0):
        left, bottom, right, top = text.get_rect(index)
        yield Box(left, bottom, right, top, str(text.get_text_bounded(left, bottom, right, top)))


def _rejoined(text: str, words: Counter[str]) -> str:
    """Words that were parted at a line's end, whole; with a hyphen where the second half is a word too."""
    if _SOFT not in text:
        return text

    def joined(match: re.Match[str]) -> str:
        first, second = match.groups()
        # Both halves of a parted word are counted as words once, for the place at which it is parted.
        whole = words[(first + second).lower()] or words[second.lower()] <= 1
        return first + second if whole else f"{first}-{second}"

    return _CUT.sub(joined, text).replace(_SOFT, "-")


def _marks(document: pdfium.PdfDocument) -> Iterator[Mark]:
    """Each bookmark that leads to a page."""
    for mark in document.get_toc():
        dest = mark.get_dest()
        index = dest.get_index() if dest else None
        title = " ".join(mark.get_title().split())
        if index is not None and index >= 0 and title:
            yield Mark(index + 1, mark.level, title[:_MOST_TITLE])
