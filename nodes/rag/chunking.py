"""Cut a document into chunks that are verbatim slices of it and know their heading."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nodes.rag.models import Chunk
from nodes.rag.terms import terms

CHARS_PER_TOKEN = 4
MARKDOWN = frozenset({".md", ".markdown"})

if TYPE_CHECKING:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+)$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_UNDERLINE = re.compile(r"^(=+|-+|~+|\*+)\s*$")
# From the largest unit to the smallest: paragraph, line, sentence, clause, word.
_SEPARATORS = ["\n\n", "\n", ". ", "? ", "! ", "; ", ", ", " ", ""]


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document under one heading; `path` are the headings above it, outermost first."""

    start: int
    end: int
    path: tuple[str, ...]


def chunk_document(document: str, text: str, *, chunk_tokens: int) -> list[Chunk]:
    """The chunks of `text`, in order.

    Args:
        document: Its name; relative, with forward slashes.
        chunk_tokens: Size of a chunk at most, in tokens of about four characters.
    """
    splitter = _splitter(chunk_tokens * CHARS_PER_TOKEN)
    chunks: list[Chunk] = []
    for section in sections(document, text):
        for start, piece in _pieces(splitter, text, section):
            chunks.append(_chunk(document, section.path, start, piece))
    return chunks


@lru_cache(maxsize=8)
def _splitter(size: int) -> RecursiveCharacterTextSplitter:
    # Searching needs no splitter, and its import costs a third of a second.
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # noqa: PLC0415

    return RecursiveCharacterTextSplitter(
        _SEPARATORS, chunk_size=size, chunk_overlap=0, keep_separator="end", add_start_index=True
    )


def _pieces(
    splitter: RecursiveCharacterTextSplitter, text: str, section: Section
) -> Iterator[tuple[int, str]]:
    body = text[section.start : section.end]
    for part in splitter.create_documents([body]):
        piece, offset = part.page_content, int(part.metadata["start_index"])
        # A heading alone answers nothing; its words are in the title of what follows.
        if offset >= 0 and terms(piece) and not _HEADING.fullmatch(piece):
            yield section.start + offset, piece


def _chunk(document: str, path: tuple[str, ...], start: int, piece: str) -> Chunk:
    title = " › ".join(path) or PurePosixPath(document).name
    anchor = f"#{slug(path[-1])}" if len(path) > 1 else ""
    return Chunk(
        id=hashlib.sha256(f"{document}\0{start}\0{piece}".encode()).hexdigest()[:32],
        document=document,
        title=title,
        text=piece,
        terms=" ".join(terms(f"{title}\n{piece}")),
        start=start,
        end=start + len(piece),
        uri=document + anchor,
    )


def slug(heading: str) -> str:
    """The anchor that common Markdown viewers give a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def sections(document: str, text: str) -> list[Section]:
    """Where each heading's text begins and ends. A text without headings is one section."""
    suffix = PurePosixPath(document).suffix.lower()
    if suffix in MARKDOWN:
        marks = list(_markdown_headings(text))
    elif suffix == ".rst":
        marks = list(_rst_headings(text))
    else:
        marks = []
    return _between(marks, len(text))


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
        heading = None if fence else _HEADING.match(line)
        if heading:
            yield start, len(heading.group(1)), _plain(_unclosed(heading.group(2)))


def _rst_headings(text: str) -> Iterator[tuple[int, int, str]]:
    levels: list[str] = []
    before: tuple[int, str] = (0, "")
    for start, line in _lines(text):
        name = before[1].strip()
        if _UNDERLINE.match(line) and name and len(line.rstrip()) >= len(name) and not _UNDERLINE.match(name):
            if line[0] not in levels:
                levels.append(line[0])
            yield before[0], levels.index(line[0]) + 1, name
        before = (start, line)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _plain(heading: str) -> str:
    """A heading without its Markdown: `code`, **bold** and [links](...)."""
    return re.sub(r"[`*]", "", re.sub(r"\[([^\[\]]*)\]\([^()]*\)", r"\1", heading)).strip()


def _unclosed(heading: str) -> str:
    """A heading without the signs that may close it."""
    return heading.rstrip().rstrip("#").rstrip() or heading
