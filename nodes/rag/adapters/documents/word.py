"""Word (DOCX): paragraphs, lists, tables, text boxes and notes in the order in which they are read.

Changes that are tracked are taken as accepted. Headers, footers, comments and hidden text are left out.
WordprocessingML is in ECMA-376 part 1, section 17.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from core.words import row_sentence
from nodes.rag.adapters.documents.ooxml import Package
from nodes.rag.reading.extract import MOST_CHARS, Extract, Unreadable

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_GONE = {f"{_W}{name}" for name in ("del", "moveFrom", "instrText", "delText", "rPr", "pPr", "sectPr")}
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_MOST_DEPTH = 60


def read(raw: bytes) -> Extract:
    """The document under its headings.

    Raises:
        Unreadable: It is broken, needs a password, or has no text.
    """
    package = Package(raw)
    name = package.main() or "word/document.xml"
    body = package.xml(name).find(f"{_W}body")
    styles = _styles(package, name)
    lists = {key for key, style in styles.items() if style.find(f"{_W}pPr/{_W}numPr") is not None}
    reader = _Reader(_levels(styles), lists, _notes(package, name))
    if body is not None:
        reader.walk(body, 0)
    reader.close()
    if not reader.found.parts:
        raise Unreadable("it has no text")
    return reader.found


def _styles(package: Package, name: str) -> dict[str, etree._Element]:
    return {
        style.get(f"{_W}styleId", ""): style
        for part in package.of_kind(name, "styles")
        for style in package.xml(part).iter(f"{_W}style")
    }


def _levels(styles: dict[str, etree._Element]) -> dict[str, int]:
    """The level of the heading that each style stands for, by itself or by the one that it is based on."""
    found: dict[str, int] = {}
    for key in styles:
        above, steps = key, 0
        while above in styles and steps < _MOST_DEPTH:
            level = _level_of(styles[above])
            if level:
                found[key] = level
                break
            above, steps = _value(styles[above], "basedOn"), steps + 1
    return found


def _level_of(style: etree._Element) -> int:
    called = _value(style, "name").lower()
    if called.startswith("heading ") and called[8:].isdecimal():
        return int(called[8:]) + 1  # a document's title stands above all of its headings
    if called == "title":
        return 1
    properties = style.find(f"{_W}pPr")
    return 0 if properties is None else _outline(properties)


def _outline(properties: etree._Element) -> int:
    level = _value(properties, "outlineLvl")
    return int(level) + 1 if level.isdecimal() and int(level) < 9 else 0


def _notes(package: Package, name: str) -> dict[str, etree._Element]:
    """Footnotes and endnotes by kind and number."""
    found = {}
    for kind in ("footnote", "endnote"):
        for part in package.of_kind(name, f"{kind}s"):
            for note in package.xml(part).iter(f"{_W}{kind}"):
                if note.get(f"{_W}type") is None:
                    found[f"{kind} {note.get(f'{_W}id')}"] = note
    return found


class _Reader:
    """Collects blocks under the heading that it is at."""

    def __init__(self, levels: dict[str, int], lists: set[str], notes: dict[str, etree._Element]) -> None:
        self.found = Extract()
        self._levels = levels
        self._lists = lists
        self._notes = notes
        self._path: list[tuple[int, str]] = []
        self._blocks: list[str] = []
        self._asides: list[str] = []

    def close(self) -> None:
        """What was collected becomes a part."""
        path = tuple(name for _, name in self._path)
        self.found.add(self._blocks, path, fragment=path[-1] if path else "")
        self._blocks = []

    def walk(self, parent: etree._Element, depth: int) -> None:
        for child in parent:
            if self.found.chars > MOST_CHARS:
                raise Unreadable("it is too much text")
            if child.tag == f"{_W}p":
                self._paragraph(child)
            elif child.tag == f"{_W}tbl":
                self._blocks += self._table(child, depth + 1)
            elif child.tag not in _GONE and depth < _MOST_DEPTH:
                self.walk(_chosen(child), depth + 1)

    def _paragraph(self, paragraph: etree._Element) -> None:
        text = self._text(paragraph)
        level = self._level(paragraph)
        if level and text:
            self.close()
            self._path = [*(p for p in self._path if p[0] < level), (level, " ".join(text.split()))]
            self._blocks.append(text)
        elif text:
            self._blocks.append(f"- {text}" if self._listed(paragraph) else text)
        self._blocks += self._asides
        self._asides = []

    def _level(self, paragraph: etree._Element) -> int:
        properties = paragraph.find(f"{_W}pPr")
        if properties is None:
            return 0
        return _outline(properties) or self._levels.get(_value(properties, "pStyle"), 0)

    def _listed(self, paragraph: etree._Element) -> bool:
        properties = paragraph.find(f"{_W}pPr")
        if properties is None:
            return False
        return properties.find(f"{_W}numPr") is not None or _value(properties, "pStyle") in self._lists

    def _text(self, parent: etree._Element) -> str:
        return "".join(self._said(parent, 0)).strip()

    def _said(self, parent: etree._Element, depth: int) -> Iterator[str]:
        for child in parent:
            tag = child.tag
            if tag in {f"{_W}t", f"{_M}t"}:
                yield child.text or ""
            elif tag in _SIGNS:
                yield _SIGNS[tag]
            elif tag in {f"{_W}footnoteReference", f"{_W}endnoteReference"}:
                self._aside(tag.removeprefix(_W).removesuffix("Reference"), child.get(f"{_W}id", ""))
            elif tag == f"{_W}txbxContent":
                # A box beside the paragraph is read behind it.
                self._asides += [text for p in child.iter(f"{_W}p") if (text := self._text(p))]
            elif tag not in _GONE and not _hidden(child) and depth < _MOST_DEPTH:
                yield from self._said(_chosen(child), depth + 1)

    def _aside(self, kind: str, number: str) -> None:
        note = self._notes.pop(f"{kind} {number}", None)
        if note is not None and (text := self._text(note)):
            self._asides.append(text)

    def _table(self, table: etree._Element, depth: int) -> Iterator[str]:
        """A sentence for each row, with the names of the columns where the first row has them."""
        rows = [
            [self._cell(cell, depth) for cell in row.iter(f"{_W}tc") if _row_of(cell) is row]
            for row in table.iter(f"{_W}tr")
            if _table_of(row) is table
        ]
        rows = [row for row in rows if any(row)]
        if len(rows) > 1 and len(rows[0]) > 1:
            names = [cell or f"column {n}" for n, cell in enumerate(rows[0], start=1)]
            for row in rows[1:]:
                yield row_sentence(names, row) if len(row) == len(names) else _listed(row)
        else:
            yield from map(_listed, rows)

    def _cell(self, cell: etree._Element, depth: int) -> str:
        said = []
        for child in cell:
            if child.tag == f"{_W}tbl" and depth < _MOST_DEPTH:
                said.append(", ".join(self._table(child, depth + 1)))
            elif child.tag not in _GONE:
                said.append(self._text(child if child.tag == f"{_W}p" else _chosen(child)))
        return " ".join(" ".join(said).split())


def _listed(row: list[str]) -> str:
    return ": ".join(row) if len(row) == 2 else " | ".join(filter(None, row))


def _chosen(element: etree._Element) -> etree._Element:
    """Of content in two forms, for new programs and for old ones, the first with anything in it."""
    if element.tag != f"{_MC}AlternateContent":
        return element
    forms = [form for form in element if form.tag in {f"{_MC}Choice", f"{_MC}Fallback"}]
    told = (form for form in forms if form.find(f".//{_W}t") is not None)
    return next(told, forms[0] if forms else element)


def _hidden(run: etree._Element) -> bool:
    mark = run.find(f"{_W}rPr/{_W}vanish") if run.tag == f"{_W}r" else None
    return mark is not None and mark.get(f"{_W}val", "true") not in {"0", "false", "off"}


def _value(parent: etree._Element, name: str) -> str:
    found = parent.find(f"{_W}{name}")
    return "" if found is None else found.get(f"{_W}val", "")


def _row_of(cell: etree._Element) -> etree._Element | None:
    return next(cell.iterancestors(f"{_W}tr"), None)


def _table_of(row: etree._Element) -> etree._Element | None:
    return next(row.iterancestors(f"{_W}tbl"), None)
