"""The text of a page: headings as Markdown has them, paragraphs, list items and rows; no scripts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from core.words import row_sentence

# Each "<" is tried once, and what is no tag is text: one pass, whatever the page is like.
_PART = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)([^<>]*)>|<[!?][^<>]*>|[^<]+|<")
_SILENT = frozenset({"script", "style", "template", "noscript", "svg", "head", "nav", "iframe"})
_BLOCKS = frozenset(
    str.split(
        "address article aside blockquote body br dd div dl dt fieldset figure figcaption footer form h1 h2 "
        "h3 h4 h5 h6 header hr li main ol option p pre section table tr ul caption tbody thead"
    )
)
_HEADING = re.compile(r"h[1-6]")
_CELLS = frozenset({"td", "th"})


def text_of_html(page: str) -> str:
    """The page's text, in a form of which Markdown's headings are found."""
    reader = _Reader()
    for match in _PART.finditer(_without_comments(page)):
        if match.group(2):
            reader.tag(match.group(2).lower(), closing=bool(match.group(1)))
        elif match.group()[0] != "<" or match.group() == "<":
            reader.say(match.group())
    return "\n\n".join(reader.blocks())


class _Reader:
    """Collects blocks; knows what it is in."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._open = ""
        self._words: list[str] = []
        self._silent = ""
        self._title = ""
        self._cells: list[str] | None = None
        self._names: list[str] = []
        self._heads = False

    def say(self, text: str) -> None:
        if not self._silent:
            self._words.append(text)
        elif self._open == "title":
            self._title += text

    def tag(self, name: str, *, closing: bool) -> None:
        if name == "title" and self._silent in {"", "head"}:
            self._open = "" if closing else "title"
        elif self._silent:
            if (closing and name == self._silent) or name == "body":
                self._silent = ""
        elif name in _SILENT and not closing:
            self._end()
            self._silent = name
        elif name in _CELLS:
            self._cell(name, closing=closing)
        elif name in _BLOCKS:
            self._end()
            self._block(name, closing=closing)

    def blocks(self) -> Iterator[str]:
        self._end()
        if self._title.strip():
            yield f"# {_plain(self._title)}"
        yield from self._blocks

    def _block(self, name: str, *, closing: bool) -> None:
        self._open = "" if closing else name
        if name == "tr":
            self._row(closing=closing)
        elif name == "table":
            self._names = []

    def _cell(self, name: str, *, closing: bool) -> None:
        if self._cells is None:
            return
        if closing and self._cells:
            self._cells[-1] = _plain("".join(self._words))
        elif not closing:
            self._cells.append("")
            self._heads = name == "th" and (self._heads or len(self._cells) == 1)
        self._words = []

    def _row(self, *, closing: bool) -> None:
        if not closing:
            self._cells, self._heads = [], False
            return
        cells, self._cells = self._cells or [], None
        if self._heads and not self._names and len(cells) > 1:
            self._names = cells
        elif len(self._names) >= len(cells) > 1:
            self._blocks.append(row_sentence(self._names, cells))
        elif any(cells):
            self._blocks.append(": ".join(filter(None, cells)) if len(cells) == 2 else " | ".join(cells))

    def _end(self) -> None:
        text = _plain("".join(self._words))
        self._words = []
        if not text:
            return
        if self._cells:
            self._cells[-1] = f"{self._cells[-1]} {text}".strip()
            return
        if _HEADING.fullmatch(self._open):
            # The page's own title stands above all of its headings.
            text = f"{'#' * (int(self._open[1]) + (1 if self._title.strip() else 0))} {text}"
        elif self._open == "li":
            text = f"- {text}"
        self._blocks.append(text)


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
