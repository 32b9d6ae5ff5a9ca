"""Where the parts of a document begin, and what stands above them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from nodes.rag.reading import Kind, kind_of

# A longer line is no heading, whatever it begins with.
MOST_LETTERS = 300

_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_UNDERLINE = re.compile(r"^(=+|-+|~+|\*+)\s*$")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document under one heading; `path` are the headings above it, outermost first."""

    start: int
    end: int
    path: tuple[str, ...]


def sections(document: str, text: str, kind: Kind | None = None) -> list[Section]:
    """Where each heading's text begins and ends. A text without headings is one section.

    Args:
        kind: How headings are written; None for what the document's name says.
    """
    written = kind_of(PurePosixPath(document).name) if kind is None else kind
    if written is Kind.MARKDOWN:
        marks = list(_markdown_headings(text))
    elif written is Kind.RST:
        marks = list(_rst_headings(text))
    else:
        marks = []
    return _between(marks, len(text))


def heading_of(line: str) -> tuple[int, str] | None:
    """(level, name) of a line that is a heading of Markdown."""
    bare = line.lstrip(" ")
    marks = bare[:7]
    level = len(marks) - len(marks.lstrip("#"))
    fits = len(line) - len(bare) <= 3 and 1 <= level <= 6 and len(bare) <= MOST_LETTERS
    if not fits or bare[level : level + 1] not in {" ", "\t"}:
        return None
    name = bare[level:].strip(" \t").rstrip("#").rstrip(" \t")
    return (level, name) if name else None


def slug(heading: str) -> str:
    """The anchor that common Markdown viewers give a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def _between(marks: list[tuple[int, int, str]], end: int) -> list[Section]:
    found: list[Section] = []
    if not marks or marks[0][0] > 0:
        found.append(Section(0, marks[0][0] if marks else end, ()))
    path: list[tuple[int, str]] = []
    for index, (start, level, name) in enumerate(marks):
        path = [*(p for p in path if p[0] < level), (level, name)]
        stop = marks[index + 1][0] if index + 1 < len(marks) else end
        found.append(Section(start, stop, tuple(name for _, name in path)))
    return found


def _markdown_headings(text: str) -> Iterator[tuple[int, int, str]]:
    fence = ""
    for start, line in _lines(text):
        mark = _FENCE.match(line)
        if mark:
            fence = "" if fence == mark.group(1) else fence or mark.group(1)
            continue
        heading = None if fence else heading_of(line)
        if heading:
            yield start, heading[0], _plain(heading[1])


def _rst_headings(text: str) -> Iterator[tuple[int, int, str]]:
    levels: list[str] = []
    before: tuple[int, str] = (0, "")
    for start, line in _lines(text):
        name = before[1].strip()
        if _UNDERLINE.match(line) and name and len(line.rstrip()) >= len(name) and not _UNDERLINE.match(name):
            if line[0] not in levels:
                levels.append(line[0])
            yield before[0], levels.index(line[0]) + 1, name[:MOST_LETTERS]
        before = (start, line)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _plain(heading: str) -> str:
    """A heading without its Markdown: `code`, **bold** and [links](...)."""
    return re.sub(r"[`*]", "", _LINK.sub(r"\1", heading)).strip()
