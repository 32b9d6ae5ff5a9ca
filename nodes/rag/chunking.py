"""Cut a document into chunks that are verbatim slices of it and know their heading."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.languages import DEFAULT
from nodes.rag.models import Chunk
from nodes.rag.reading import Kind, Place, kind_of
from nodes.rag.terms import terms

__all__ = ["CHARS_PER_TOKEN", "Section", "chunk_document", "sections", "slug"]

CHARS_PER_TOKEN = 4
_MOST_COLUMNS = 200
# A longer line is no heading, whatever it begins with.
MOST_LETTERS = 300
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_UNDERLINE = re.compile(r"^(=+|-+|~+|\*+)\s*$")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
# From the best place to cut to the worst: between paragraphs, lines, sentences, clauses, words.
_PLACES = (
    ("\n\n",),
    ("\n",),
    (". ", "? ", "! ", "。", "！", "？", "।", "؟ "),
    ("; ", "；"),
    (", ", "、", "，"),
    (" ", "\t", "\u200b"),
)
# A piece is at least this part of the size, or a worse place is taken: so pieces stay few.
_FILLED = 0.25


def chunk_document(
    document: str,
    text: str,
    *,
    chunk_tokens: int,
    language: str = DEFAULT,
    kind: Kind | None = None,
    places: Sequence[Place] = (),
) -> list[Chunk]:
    """The chunks of `text`, in order.

    Args:
        document: Its name; relative, with forward slashes.
        chunk_tokens: Size of a chunk at most, in tokens of about four characters.
        language: Whose stems its words have.
        kind: How its headings are written; None for what its name says.
        places: Its pages, sheets or slides.
    """
    size = chunk_tokens * CHARS_PER_TOKEN
    found: list[Chunk] = []
    for section in sections(document, text, kind, places):
        naming = _Naming(document, section, language)
        for start, end, columns in _pieces(text, section, size):
            chunk = naming.chunk(start, text[start:end], columns)
            if chunk is not None:
                found.append(chunk)
    return found


class _Naming:
    """Makes the chunks of one section."""

    def __init__(self, document: str, section: Section, language: str) -> None:
        path = section.path
        self._document = document
        self._language = language
        self._heading = path[-1] if path else ""
        called = " › ".join(path) or PurePosixPath(document).name
        self._title = f"{called} › {section.where}" if section.where else called
        anchor = section.fragment or (slug(path[-1]) if len(path) > 1 else "")
        self._uri = f"{document}#{anchor}" if anchor else document
        # What a text is called says what it is about: that counts twice, and the name of its file once.
        said = f"{PurePosixPath(document).stem}\n{called}\n{called}"
        self._called = terms(said, language)

    def chunk(self, start: int, piece: str, columns: str) -> Chunk | None:
        """None for a piece that answers nothing: without words, or a heading alone, the title of the next."""
        said = terms(piece, self._language)
        if not said or ("\n" not in piece and (heading_of(piece) or piece == self._heading)):
            return None
        title = f"{self._title} › {columns}" if columns else self._title
        named = terms(columns, self._language) if columns else []
        return Chunk(
            id=hashlib.sha256(f"{self._document}\0{start}\0{piece}".encode()).hexdigest()[:32],
            document=self._document,
            title=title,
            text=piece,
            terms=" ".join([*self._called, *named, *said]),
            start=start,
            end=start + len(piece),
            uri=self._uri,
        )


def _pieces(text: str, section: Section, size: int) -> Iterator[tuple[int, int, str]]:
    """(start, end, columns): of a piece that begins amid a table of Markdown, the table's head too."""
    head, within = "", False
    for start, end in pieces(text, section.start, section.end, size=size):
        columns, first = "", True
        for line in text[start:end].split("\n"):
            row = line.lstrip().startswith("|")
            if row and within and first:
                columns = " ".join(head.split())[:_MOST_COLUMNS].strip("| ")
            elif row and not within:
                head = line
            within, first = row, False
        yield start, end, columns


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document under one heading; `path` are the headings above it, outermost first.

    `where` is its page, sheet or slide, `fragment` the same for an address.
    """

    start: int
    end: int
    path: tuple[str, ...]
    where: str = ""
    fragment: str = ""


def sections(
    document: str, text: str, kind: Kind | None = None, places: Sequence[Place] = ()
) -> list[Section]:
    """Where each heading's text begins and ends. A text without headings is one section.

    Args:
        kind: How headings are written; None for what the document's name says.
        places: Pages, sheets or slides, in which headings may stand again.
    """
    written = kind_of(PurePosixPath(document).name) if kind is None else kind
    if not places:
        return _sections(text, written)
    ends = [*(place.start for place in places[1:]), len(text)]
    return [
        Section(
            place.start + inner.start,
            place.start + inner.end,
            place.path + inner.path,
            place.where,
            _fragment(place, inner),
        )
        for place, end in zip(places, ends, strict=True)
        for inner in _sections(text[place.start : end], written)
    ]


def _fragment(place: Place, inner: Section) -> str:
    named = place.fragment or (slug(inner.path[-1]) if inner.path else "")
    return named if "=" in named else slug(named)


def _sections(text: str, written: Kind | None) -> list[Section]:
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


def pieces(text: str, start: int, end: int, *, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each piece of `text[start:end]`, without the blanks around it."""
    at = start
    while at < end:
        if text[at].isspace():
            at += 1
            continue
        stop = end if end - at <= size else _cut(text, at, size)
        last = stop
        while text[last - 1].isspace():
            last -= 1
        yield at, last
        at = stop


def _cut(text: str, at: int, size: int) -> int:
    first, until = at + max(1, int(size * _FILLED)), at + size
    for marks in _PLACES:
        found = max(text.rfind(mark, first, until) + len(mark) for mark in marks)
        if found > first:
            return found
    # Within a word: but not between a letter and the marks on it.
    while until > first and unicodedata.combining(text[until]):
        until -= 1
    return until
