"""Cut a document into chunks that are verbatim slices of it and know their heading."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from nodes.rag.headings import Section, heading_of, sections, slug
from nodes.rag.languages import DEFAULT
from nodes.rag.models import Chunk
from nodes.rag.reading import Kind
from nodes.rag.splitting import pieces
from nodes.rag.terms import terms

__all__ = ["CHARS_PER_TOKEN", "Section", "chunk_document", "sections", "slug"]

CHARS_PER_TOKEN = 4
_MOST_COLUMNS = 200


def chunk_document(
    document: str, text: str, *, chunk_tokens: int, language: str = DEFAULT, kind: Kind | None = None
) -> list[Chunk]:
    """The chunks of `text`, in order.

    Args:
        document: Its name; relative, with forward slashes.
        chunk_tokens: Size of a chunk at most, in tokens of about four characters.
        language: Whose stems its words have.
        kind: How its headings are written; None for what its name says.
    """
    size = chunk_tokens * CHARS_PER_TOKEN
    found: list[Chunk] = []
    for section in sections(document, text, kind):
        naming = _Naming(document, section.path, language)
        for start, end, columns in _pieces(text, section, size):
            chunk = naming.chunk(start, text[start:end], columns)
            if chunk is not None:
                found.append(chunk)
    return found


class _Naming:
    """Makes the chunks of one section."""

    def __init__(self, document: str, path: tuple[str, ...], language: str) -> None:
        self._document = document
        self._language = language
        self._title = " › ".join(path) or PurePosixPath(document).name
        self._uri = document + (f"#{slug(path[-1])}" if len(path) > 1 else "")
        # What a text is called says what it is about: that counts twice, and the name of its file once.
        said = f"{PurePosixPath(document).stem}\n{self._title}\n{self._title}"
        self._called = terms(said, language)

    def chunk(self, start: int, piece: str, columns: str) -> Chunk | None:
        """None for a piece that answers nothing: without words, or a heading alone, the title of the next."""
        said = terms(piece, self._language)
        if not said or ("\n" not in piece and heading_of(piece)):
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
