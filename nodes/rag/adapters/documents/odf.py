"""OpenDocument (ODT, ODS, ODP): texts under their headings, rows of sheets as sentences, slides.

Changes that are tracked are taken as accepted; comments, headers, footers and what is hidden are left out,
as of Word, Excel and PowerPoint. The format is OASIS OpenDocument 1.3, ISO/IEC 26300.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from nodes.rag.adapters.documents.concealed import in_open_document
from nodes.rag.adapters.documents.odf_sheets import (
    DRAW,
    OFFICE,
    TABLE,
    is_styled,
    name_of,
    rows_of,
)
from nodes.rag.adapters.documents.odf_styles import HIDDEN, STYLE, TEXT, Styles
from nodes.rag.adapters.documents.ooxml import Package
from nodes.rag.adapters.documents.sheets import sentences
from nodes.rag.reading.extract import MOST_CHARS, Extract, Unreadable, numbers

_SHOWN_AS = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_TARGET = "{http://www.w3.org/1999/xlink}href"
_MANIFEST = "META-INF/manifest.xml"
_GONE = {
    f"{TEXT}tracked-changes", f"{OFFICE}annotation", f"{OFFICE}forms", f"{TEXT}table-of-content",
    f"{TEXT}note-citation", f"{TEXT}hidden-text", f"{TEXT}ruby-text", f"{_SHOWN_AS}notes",
}  # fmt: skip
_SIGNS = {f"{TEXT}tab": "\t", f"{TEXT}line-break": "\n"}
_MOST_SPACES, _MOST_LEVEL = 100, 10


def read(raw: bytes) -> Extract:
    """The document, whichever of the three kinds it is.

    Raises:
        Unreadable: It is broken, needs a password, or has no text.
    """
    package = Package(raw)
    if _MANIFEST in package and next(package.xml(_MANIFEST).iter("{*}encryption-data"), None) is not None:
        raise Unreadable("it needs a password; a copy without one is read")
    content = package.xml("content.xml")
    styles, found = Styles.of(package, content), Extract()
    for body in content.iterfind(f"{OFFICE}body/*"):
        if body.tag == f"{OFFICE}spreadsheet":
            _sheets(found, body, styles)
        elif body.tag == f"{OFFICE}presentation":
            _slides(found, body, styles)
        else:
            _Reader(found, styles, package).read(body)
    if styles.left_out:
        found.notes.append(HIDDEN)
    if not found.parts:
        raise Unreadable("; ".join(found.notes) or "it has no text")
    return found


def _sheets(found: Extract, body: etree._Element, styles: Styles) -> None:
    for sheet in body.iterfind(f"{TABLE}table"):
        name = name_of(sheet)
        if is_styled(sheet, styles.known, "display", "false"):
            found.notes.append(f"sheet '{name}' is hidden and not read")
            continue
        concealed = in_open_document(sheet)
        found.add(sentences(rows_of(sheet, _plain, concealed)), (name,), f"sheet '{name}'", name)
        if note := concealed.note(name):
            found.notes.append(note)
        _bounded(found)


def _slides(found: Extract, body: etree._Element, styles: Styles) -> None:
    hidden = []
    for number, slide in enumerate(body.iterfind(f"{DRAW}page"), start=1):
        if is_styled(slide, styles.known, "visibility", "hidden"):
            hidden.append(number)
            continue
        reader = _Reader(Extract(), styles)
        titles = [f for f in slide.iter(f"{DRAW}frame") if f.get(f"{_SHOWN_AS}class") == "title"]
        title = next(filter(None, map(_plain, titles)), "")
        notes = reader.blocks(slide.iterfind(f"{_SHOWN_AS}notes"))
        shown = (part for part in slide if part not in titles[:1] and part.tag not in _GONE)
        said = [title, *reader.blocks(shown)]
        where = (f"slide {number}", f"slide={number}")
        found.add([*said, *(["Notes:", *notes] if notes else [])], (title,) if title else (), *where)
        _bounded(found)
    if hidden:
        found.notes.append(f"hidden and not read: slide {numbers(hidden)}")


def _bounded(found: Extract) -> None:
    if found.chars > MOST_CHARS:
        raise Unreadable("it is too much text")


class _Reader:
    """Collects blocks under the heading that it is at."""

    def __init__(self, found: Extract, styles: Styles, package: Package | None = None) -> None:
        self._found = found
        self._package = package
        self._styles = styles
        self._path: list[tuple[int, str]] = []
        self._blocks: list[str] = []
        self._asides: list[str] = []
        self._flat = False

    def read(self, body: etree._Element) -> None:
        """All of a text, as parts of what is found."""
        self._walk(body)
        self._close()

    def blocks(self, parents: Iterator[etree._Element]) -> list[str]:
        """The paragraphs, rows and items in these, wherever they stand in them; a heading is one of them."""
        self._flat = True
        for parent in parents:
            if not self._styles.hides(parent):
                self._walk(parent)
        said, self._blocks = self._blocks, []
        return said

    def _close(self) -> None:
        path = tuple(name for _, name in self._path)
        self._found.add(self._blocks, path, fragment=path[-1] if path else "")
        self._blocks = []
        _bounded(self._found)

    def _walk(self, parent: etree._Element, mark: str = "") -> None:
        for child in parent:
            if self._styles.hides(child):
                continue
            if child.tag in {f"{TEXT}p", f"{TEXT}h"}:
                self._paragraph(child, mark)
            elif child.tag == f"{TABLE}table":
                self._blocks += sentences(rows_of(child, self._cell))
                self._end_asides()
            elif child.tag not in _GONE:
                self._walk(child, "- " if child.tag == f"{TEXT}list-item" else mark)

    def _paragraph(self, paragraph: etree._Element, mark: str) -> None:
        text = self._text(paragraph)
        level = self._level(paragraph)
        if level and text:
            self._close()
            self._path = [*(p for p in self._path if p[0] < level), (level, " ".join(text.split()))]
        if text:
            self._blocks.append(text if level else mark + text)
        self._end_asides()

    def _end_asides(self) -> None:
        """Boxes and notes stand behind the paragraph or table that they belong to."""
        self._blocks += self._asides
        self._asides = []

    def _level(self, paragraph: etree._Element) -> int:
        """Of a heading; a document's title stands above all of its headings."""
        if self._flat:
            return 0
        if paragraph.tag == f"{TEXT}h":
            level = paragraph.get(f"{TEXT}outline-level", "1")
            return min(int(level), _MOST_LEVEL) + 1 if level.isdecimal() and len(level) < 3 else 2
        name = paragraph.get(f"{TEXT}style-name", "")
        style = self._styles.known.get(name)
        above = "" if style is None else style.get(f"{STYLE}parent-style-name", "")
        return 1 if "Title" in {name, above} else 0

    def _cell(self, cell: etree._Element) -> str:
        """A cell in one line; a table in it, too."""
        said = []
        for child in cell:
            if child.tag == f"{TABLE}table":
                said.append(", ".join(sentences(rows_of(child, self._cell))))
            elif child.tag not in _GONE and not self._styles.hides(child):
                said.append(self._text(child))
        return " ".join(" ".join(said).split())

    def _text(self, parent: etree._Element) -> str:
        return "".join(self._said(parent)).strip()

    def _said(self, parent: etree._Element) -> Iterator[str]:
        yield parent.text or ""
        for child in parent:
            if child.tag in {f"{TEXT}note", f"{DRAW}text-box"}:
                within = child.find(f"{TEXT}note-body") if child.tag == f"{TEXT}note" else child
                inner = _Reader(Extract(), self._styles)
                self._asides += inner.blocks(iter([] if within is None else [within]))
            elif child.tag == f"{TEXT}s":
                count = child.get(f"{TEXT}c", "1")
                yield " " * (min(int(count), _MOST_SPACES) if count.isdecimal() and len(count) < 5 else 1)
            elif child.tag in _SIGNS:
                yield _SIGNS[child.tag]
            elif child.tag == f"{DRAW}object":
                yield self._formula(child)
            elif child.tag not in _GONE and not self._styles.hides(child):
                yield from self._said(child)
                yield "\n" if child.tag in {f"{TEXT}p", f"{TEXT}h"} else ""
            yield child.tail or ""

    def _formula(self, reference: etree._Element) -> str:
        """A formula stands in a part of its own, as MathML."""
        part = f"{reference.get(_TARGET, '').removeprefix('./').rstrip('/')}/content.xml"
        if self._package is None or part not in self._package:
            return ""
        formula = self._package.xml(part)
        etree.strip_elements(formula, "{*}annotation", with_tail=False)
        return "".join(str(text) for math in formula.iter("{*}math") for text in math.itertext())


def _plain(element: etree._Element) -> str:
    """What stands in it, in one line."""
    return " ".join(" ".join(_Reader(Extract(), Styles({})).blocks(iter([element]))).split())
