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
from nodes.rag.reading.spans import MOST_ACROSS, Cell, by_column, names_of_columns, under
from nodes.rag.reading.tables import heads_alone

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_GONE = {f"{_W}{name}" for name in ("del", "moveFrom", "instrText", "delText", "rPr", "pPr", "sectPr")}
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_MOST_DEPTH = 60
HIDDEN = "hidden text is not read"


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
    reader = _Reader(_levels(styles), lists, _notes(package, name), _hiding(styles))
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


def _hiding(styles: dict[str, etree._Element]) -> set[str]:
    """Styles that hide their text, by themselves or by the one that each is based on."""
    found = set()
    for key in styles:
        above, steps = key, 0
        while above in styles and steps < _MOST_DEPTH and _vanishes(styles[above]) is None:
            above, steps = _value(styles[above], "basedOn"), steps + 1
        if above in styles and _vanishes(styles[above]):
            found.add(key)
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

    def __init__(
        self, levels: dict[str, int], lists: set[str], notes: dict[str, etree._Element], hiding: set[str]
    ) -> None:
        self.found = Extract()
        self._hiding = hiding
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
                self._end_asides()
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
        self._end_asides()

    def _end_asides(self) -> None:
        """Boxes and notes stand behind the paragraph or table that they belong to."""
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
        return "" if self._hidden(parent) else "".join(self._said(parent, 0)).strip()

    def _hidden(self, part: etree._Element) -> bool:
        """Whether a run or paragraph is hidden, by itself or by its style."""
        kind = {f"{_W}r": ("rPr", "rStyle"), f"{_W}p": ("pPr", "pStyle")}.get(part.tag)
        properties = part.find(f"{_W}{kind[0]}") if kind else None
        if properties is None:
            return False
        own = _vanishes(part)
        hidden = _value(properties, kind[1]) in self._hiding if own is None and kind else bool(own)
        if hidden and HIDDEN not in self.found.notes and part.find(f".//{_W}t") is not None:
            self.found.notes.append(HIDDEN)
        return hidden

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
            elif tag not in _GONE and not self._hidden(child) and depth < _MOST_DEPTH:
                yield from self._said(_chosen(child), depth + 1)

    def _aside(self, kind: str, number: str) -> None:
        note = self._notes.pop(f"{kind} {number}", None)
        if note is not None and (text := self._text(note)):
            self._asides.append(text)

    def _table(self, table: etree._Element, depth: int) -> Iterator[str]:
        """A sentence for each row, with the names of the columns where the first row has them."""
        rows = [row for row in self._rows(table, depth) if any(cell.text for cell in row)]
        while len(rows) > 1 and len(rows[0]) == 1 and len(rows[1]) > 1:
            # A line over the whole table: what it is about.
            yield _one_line(rows.pop(0))
        if len(rows) > 1 and len(rows[0]) > 1:
            names = names_of_columns(rows[0])
            for row in rows[1:]:
                yield row_sentence(*under(names, row)) if len(row) > 1 else _one_line(row)
            yield from heads_alone(by_column(rows[0]), (by_column(row) for row in rows[1:] if len(row) > 1))
        else:
            yield from map(_one_line, rows)

    def _rows(self, table: etree._Element, depth: int) -> Iterator[list[Cell]]:
        """Rows in their columns; a cell that goes on from above has the text of the one where it began."""
        above: dict[int, str] = {}
        for row in table.iter(f"{_W}tr"):
            if _table_of(row) is not table:
                continue
            found: list[Cell] = []
            column = 0
            for cell in row.iter(f"{_W}tc"):
                if _row_of(cell) is not row:
                    continue
                across, merged = _merged(cell)
                text = above.get(column, "") if merged == "continue" else self._cell(cell, depth)
                above[column] = text if merged else ""
                found.append(Cell(text, across))
                column += across
            yield found

    def _cell(self, cell: etree._Element, depth: int) -> str:
        said = []
        for child in cell:
            if child.tag == f"{_W}tbl" and depth < _MOST_DEPTH:
                said.append(", ".join(self._table(child, depth + 1)))
            elif child.tag not in _GONE:
                said.append(self._text(child if child.tag == f"{_W}p" else _chosen(child)))
        return " ".join(" ".join(said).split())


def _one_line(row: list[Cell]) -> str:
    said = [cell.text for cell in row if cell.text]
    return ": ".join(said) if len(row) == 2 else " | ".join(said)


def _merged(cell: etree._Element) -> tuple[int, str]:
    """(columns that a cell reaches over, "restart" or "continue" where it is merged with its neighbours)."""
    properties = cell.find(f"{_W}tcPr")
    if properties is None:
        return 1, ""
    across = _value(properties, "gridSpan")
    mark = properties.find(f"{_W}vMerge")
    count = int(across) if across.isdecimal() and len(across) < 4 else 1
    return min(max(count, 1), MOST_ACROSS), "" if mark is None else mark.get(f"{_W}val", "continue")


def _chosen(element: etree._Element) -> etree._Element:
    """Of content in two forms, for new programs and for old ones, the first with anything in it."""
    if element.tag != f"{_MC}AlternateContent":
        return element
    forms = [form for form in element if form.tag in {f"{_MC}Choice", f"{_MC}Fallback"}]
    told = (form for form in forms if form.find(f".//{_W}t") is not None)
    return next(told, forms[0] if forms else element)


def _vanishes(part: etree._Element) -> bool | None:
    """Whether a run or a style hides its text; None where it says nothing of it."""
    mark = part.find(f"{_W}rPr/{_W}vanish")
    return None if mark is None else mark.get(f"{_W}val", "true") not in {"0", "false", "off"}


def _value(parent: etree._Element, name: str) -> str:
    found = parent.find(f"{_W}{name}")
    return "" if found is None else found.get(f"{_W}val", "")


def _row_of(cell: etree._Element) -> etree._Element | None:
    return next(cell.iterancestors(f"{_W}tr"), None)


def _table_of(row: etree._Element) -> etree._Element | None:
    return next(row.iterancestors(f"{_W}tbl"), None)
