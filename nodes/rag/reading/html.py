"""The text of a page: headings as Markdown has them, paragraphs, list items and rows; no scripts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from core.words import row_sentence
from nodes.rag.reading.spans import Allowance, Cell, Grid, names_of_columns, under, width
from nodes.rag.reading.tables import names_of

# Each "<" is tried once, and what is no tag is text: one pass, whatever the page is like.
_PART = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)([^<>]*)>|<[!?][^<>]*>|[^<]+|<")
_SILENT = frozenset({"script", "style", "template", "noscript", "svg", "head", "nav", "iframe"})
# A formula once more, as it was written for a program (MathML).
_SAID_AGAIN = frozenset({"annotation", "annotation-xml"})
_BLOCKS = frozenset(
    str.split(
        "address article aside blockquote body br center dd details dialog div dl dt fieldset figure "
        "figcaption footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu ol optgroup option p "
        "pre search section select summary table textarea tr ul caption tbody tfoot thead"
    )
)
_HEADING = re.compile(r"h[1-6]")
_CELLS = frozenset({"td", "th"})
_SPAN = re.compile(r"\b(col|row)span\s{0,9}=\s{0,9}[\"']?(\d{1,4})", re.IGNORECASE)
# What a page hides is how instructions are smuggled in; of an element that may be left open nobody knows
# how much is hidden.
_MAY_BE_HIDDEN = frozenset(
    str.split("a article aside b div em font footer form header i main ol section small span strong table ul")
)
_VALUE = re.compile(r"\"[^\"]*\"|'[^']*'")
_NO_DISPLAY = re.compile(r"style\s{0,9}=\s{0,9}[\"'][^\"']{0,500}display\s{0,9}:\s{0,9}none", re.IGNORECASE)
_MOST_ATTRIBUTES = 2000
# A first row of so many cells that are all words names the columns, also where it is not marked as such.
_FEWEST_NAMES = 3


def text_of_html(page: str) -> str:
    """The page's text, in a form of which Markdown's headings are found."""
    reader = _Reader()
    for match in _PART.finditer(_without_comments(page)):
        if match.group(2):
            reader.tag(match.group(2).lower(), match.group(3), closing=bool(match.group(1)))
        elif match.group()[0] != "<" or match.group() == "<":
            reader.say(match.group())
    return "\n\n".join(reader.blocks())


class _Table:
    """The rows of one table, as blocks."""

    def __init__(self, allowance: Allowance) -> None:
        self.cells: list[Cell] | None = None
        self.heads = False
        self._grid = Grid(allowance)
        self._names: list[str] = []
        self._first: list[Cell] | None = None
        self._begun = False

    def ended_row(self) -> Iterator[str]:
        """What the row that ends now says, and the first one where it turns out to have named nothing."""
        row, self.cells = self._grid.row(self.cells or []), None
        if self.heads and len(row) > 1 and not self._begun:
            self._head(row)
            return
        if self._first is not None:
            first, self._first = self._first, None
            if width(first) == width(row) and len(row) > 1:
                self._names = names_of_columns(first)
            else:
                yield _listed(first)
        elif not self._begun and not self._names and self._may_name(row):
            self._first, self._begun = row, True
            return
        self._begun = self._begun or any(cell.text for cell in row)
        if len(self._names) >= width(row) and len(row) > 1:
            yield row_sentence(*under(self._names, row))
        else:
            yield _listed(row)

    def ended(self) -> Iterator[str]:
        """What is left of the table at its end."""
        if self._first is not None:
            yield _listed(self._first)
            self._first = None

    def _head(self, row: list[Cell]) -> None:
        """A second row of heads tells more of the first one's columns."""
        more = names_of_columns(row)
        if not self._names:
            self._names = more
        elif len(more) == len(self._names):
            pairs = zip(self._names, more, strict=True)
            self._names = [above if above == below else f"{above} {below}".strip() for above, below in pairs]

    @staticmethod
    def _may_name(row: list[Cell]) -> bool:
        texts = [cell.text for cell in row]
        return len(row) >= _FEWEST_NAMES and all(texts) and names_of(texts, len(row)) is not None


def _listed(row: list[Cell]) -> str:
    said = [cell.text for cell in row if cell.text]
    return ": ".join(said) if len(row) == 2 else " | ".join(said)


class _Reader:
    """Collects blocks; knows what it is in."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._open = ""
        self._words: list[str] = []
        self._silent = ""
        self._deep = 0
        self._title = ""
        self._tables: list[_Table] = []
        self._as_written = False
        self._allowance = Allowance()

    def say(self, text: str) -> None:
        if not self._silent:
            self._words.append(text)
        elif self._open == "title":
            self._title += text

    def tag(self, name: str, attributes: str, *, closing: bool) -> None:
        if name == "title" and self._silent in {"", "head"}:
            self._open = "" if closing else "title"
        elif self._silent:
            self._within_silence(name, closing=closing)
        elif not closing and name in _SAID_AGAIN:
            self._silent, self._deep = name, 1
        elif not closing and (name in _SILENT or (name in _MAY_BE_HIDDEN and _is_hidden(attributes))):
            self._end()
            self._silent, self._deep = name, 1
        elif name in _CELLS:
            self._cell(name, attributes, closing=closing)
        elif name == "br" and self._as_written:
            self._words.append("\n")
        elif name in _BLOCKS:
            self._end()
            self._block(name, closing=closing)

    def blocks(self) -> Iterator[str]:
        self._end()
        while self._tables:
            self._table(closing=True)
        title = _plain(self._title)
        if title and self._blocks[:1] != [f"## {title}"]:
            yield f"# {title}"
        yield from self._blocks

    def _within_silence(self, name: str, *, closing: bool) -> None:
        # The end of a formula ends what was left open in it.
        if name == self._silent or (name == "math" and self._silent in _SAID_AGAIN):
            self._deep += -1 if closing else name in _MAY_BE_HIDDEN
        if self._deep == 0 or name == "body":
            self._silent = ""

    def _block(self, name: str, *, closing: bool) -> None:
        self._open = "" if closing else name
        self._as_written = name == "pre" and not closing
        if name == "table":
            self._table(closing=closing)
        elif name == "tr" and self._tables:
            self._row(closing=closing)

    def _table(self, *, closing: bool) -> None:
        if closing:
            if self._tables:
                self._row(closing=True)
                self._add(self._tables.pop().ended())
            return
        if self._tables and self._tables[-1].cells:
            # A table within a table arranges the page: what stands before it is no row.
            self._add(cell.text for cell in self._tables[-1].cells)
            self._tables[-1].cells = []
        self._tables.append(_Table(self._allowance))

    @property
    def _cells(self) -> list[Cell] | None:
        return self._tables[-1].cells if self._tables else None

    def _cell(self, name: str, attributes: str, *, closing: bool) -> None:
        cells = self._cells
        if cells is None:
            self._end()
            return
        self._end()
        if not closing:
            spans = {
                which.lower(): int(count) for which, count in _SPAN.findall(attributes[:_MOST_ATTRIBUTES])
            }
            cells.append(Cell("", spans.get("col", 1), spans.get("row", 1)))
            table = self._tables[-1]
            table.heads = name == "th" and (table.heads or len(cells) == 1)

    def _row(self, *, closing: bool) -> None:
        table = self._tables[-1]
        if table.cells is not None:
            self._add(table.ended_row())
        if not closing:
            table.cells, table.heads = [], False

    def _add(self, said: Iterable[str]) -> None:
        self._blocks += filter(None, said)

    def _end(self) -> None:
        written, self._words = "".join(self._words), []
        text = _plain(written)
        if not text:
            return
        cells = self._cells
        if cells:
            cells[-1] = replace(cells[-1], text=f"{cells[-1].text} {text}".strip())
            return
        if _HEADING.fullmatch(self._open):
            # The page's own title stands above all of its headings.
            text = f"{'#' * (int(self._open[1]) + (1 if self._title.strip() else 0))} {text}"
        elif self._open == "li":
            text = f"- {text}"
        elif self._as_written and "\n" in written.strip("\n"):
            text = f"```\n{html.unescape(written).strip(chr(10)).rstrip()}\n```"
        self._blocks.append(text)


def _is_hidden(attributes: str) -> bool:
    given = attributes[:_MOST_ATTRIBUTES]
    bare = _VALUE.sub("", given).replace("=", " ").replace("/", " ").lower().split()
    return "hidden" in bare or _NO_DISPLAY.search(given) is not None


def _plain(text: str) -> str:
    return " ".join(html.unescape(text).split())


def _without_comments(page: str) -> str:
    parts: list[str] = []
    at = 0
    while (begin := page.find("<!--", at)) >= 0:
        parts.append(page[at:begin])
        end = page.find("-->", begin + 4)
        if end < 0:
            return "".join(parts)
        at = end + 3
    return "".join([*parts, page[at:]])
