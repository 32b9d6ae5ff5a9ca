"""Which files are read and how, by their names; and their text, whatever kind of text it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from nodes.rag.reading.decoding import Undecodable, decoded
from nodes.rag.reading.extract import Extract, Unreadable
from nodes.rag.reading.extraction import Extractor
from nodes.rag.reading.html import text_of_html
from nodes.rag.reading.tables import text_of_table


class Kind(StrEnum):
    """How the text of a file is taken."""

    PLAIN = "plain"
    MARKDOWN = "markdown"
    RST = "rst"
    HTML = "html"
    TABLE = "table"
    JSON = "json"
    PDF = "pdf"
    WORD = "word"
    SHEETS = "sheets"
    SLIDES = "slides"
    MAIL = "mail"
    SAVED = "saved"
    BOOK = "book"
    NOTEBOOK = "notebook"


DOCUMENTS = frozenset(
    {Kind.PDF, Kind.WORD, Kind.SHEETS, Kind.SLIDES, Kind.MAIL, Kind.SAVED, Kind.BOOK, Kind.NOTEBOOK}
)
"""What is read in a process of its own."""

_READ = {
    Kind.MARKDOWN: "md markdown mdx",
    Kind.RST: "rst",
    Kind.HTML: "html htm xhtml",
    Kind.TABLE: "csv tsv",
    Kind.JSON: "json",
    Kind.PDF: "pdf",
    Kind.WORD: "docx docm dotx",
    Kind.SHEETS: "xlsx xlsm xltx",
    Kind.SLIDES: "pptx pptm ppsx",
    Kind.MAIL: "eml mbox",
    Kind.SAVED: "mhtml mht",
    Kind.BOOK: "epub",
    Kind.NOTEBOOK: "ipynb",
    Kind.PLAIN: """
        txt text log rtx adoc asciidoc org tex bib textile wiki srt vtt
        jsonl ndjson yaml yml toml ini cfg conf properties xml xsd svg graphql proto
        py pyi js mjs cjs jsx ts tsx java kt kts scala groovy go rs c h cc cpp cxx hpp hh cs fs vb swift m mm
        rb php pl pm lua r jl dart ex exs erl hrl hs clj cljs lisp el ml mli pas f90 asm s v vhd
        sh bash zsh fish ps1 bat cmd sql css scss less vue svelte tf hcl cmake gradle dockerfile makefile mk
    """,
}
_BY_SUFFIX = {suffix: kind for kind, suffixes in _READ.items() for suffix in suffixes.split()}
_NAMES_ALONE = frozenset(
    str.split(
        "readme license licence copying notice authors contributors changelog changes news todo install "
        "history makefile dockerfile jenkinsfile procfile vagrantfile rakefile gemfile codeowners version"
    )
)
_UNREAD = {
    "texts of old Word, OpenDocument and others": "doc odt rtf pages",
    "slides of old PowerPoint, OpenDocument and others": "ppt odp key",
    "sheets of old Excel, OpenDocument and others": "xls xlsb ods numbers",
    "e-books other than EPUB": "mobi azw3",
    "mails of Outlook": "msg pst",
    "images": "png jpg jpeg gif bmp tif tiff webp heic ico psd",
    "sound files": "mp3 wav ogg flac m4a aac",
    "videos": "mp4 mov avi mkv webm",
    "archives": "zip tar gz tgz bz2 xz 7z rar zst whl jar",
    "databases": "db sqlite sqlite3 parquet feather",
}
# In which form the same would be read.
_INSTEAD = {
    "DOCX or PDF": "doc odt rtf pages",
    "PPTX or PDF": "ppt odp key",
    "XLSX or CSV": "xls xlsb ods numbers",
    "EPUB": "mobi azw3",
    "EML or MBOX": "msg pst",
    "CSV": "db sqlite sqlite3 parquet feather",
}
_SAVE_AS = {
    suffix: f"; save it as {form}" for form, suffixes in _INSTEAD.items() for suffix in suffixes.split()
}
_WHY = {
    suffix: f"{what} are not read{_SAVE_AS.get(suffix, '')}"
    for what, suffixes in _UNREAD.items()
    for suffix in suffixes.split()
}


def kind_of(name: str) -> Kind | None:
    """How a file of this name is read; None where only its content could tell."""
    path = PurePosixPath(name.lower())
    suffix = path.suffix.removeprefix(".")
    found = _BY_SUFFIX.get(suffix)
    if found is None and not suffix and path.name in _NAMES_ALONE:
        return Kind.PLAIN
    return found


def is_text(name: str) -> bool:
    """True for a file whose text stands in it as it is."""
    kind = kind_of(name)
    return kind is not None and kind not in DOCUMENTS


def unread_reason(name: str) -> str:
    """Why a file of this name is not read, in words for people; "" where nothing is known against it."""
    return _WHY.get(PurePosixPath(name.lower()).suffix.removeprefix("."), "")


def passed_over(name: str) -> str:
    """Why a folder's file of this name is left out; "" for one that is read."""
    if kind_of(name) is not None:
        return ""
    suffix = PurePosixPath(name).suffix
    known = f"files that end in '{suffix}' are not read" if suffix else "files without an ending are not read"
    return unread_reason(name) or known


# A line that is longer was written for machines.
_LONG_LINE = 2000
# Of these the text has headings as Markdown has them.
_TAKEN_AS = dict.fromkeys((Kind.HTML, Kind.SAVED, Kind.BOOK, Kind.NOTEBOOK), Kind.MARKDOWN)
_FROM, _TO = "\ue0f0", "\ue0f1"


class NotText(Unreadable):
    """A file that is no text of ours; its message says why. Never leaves this module's users."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stretch of a document begins that goes on to the next one.

    Args:
        path: The headings above it, outermost first.
        where: Its page, sheet or slide, in words.
        fragment: The same for an address.
    """

    start: int
    path: tuple[str, ...] = ()
    where: str = ""
    fragment: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A document's text, how its headings are written, its places, and notes of what was not read of it."""

    text: str
    kind: Kind
    places: tuple[Place, ...] = ()
    notes: tuple[str, ...] = ()


def read_document(
    path: Path,
    *,
    max_bytes: int,
    extractor: Extractor | None = None,
    max_document_bytes: int = 50_000_000,
    digest: str = "",
) -> Text:
    """The text of a file as it is indexed and quoted: of a page its words, of a table its rows.

    Args:
        max_bytes: Of a text file; the text of other documents is a small part of them.
        extractor: Reads what is no text file; without one such a file is not read.
        digest: SHA-256 of its content, by which the extractor may know it; "" to read it in any case.

    Raises:
        NotText: It is too large, binary, of a kind that is not read, or cannot be read.
    """
    reason = unread_reason(path.name)
    if reason:
        raise NotText(reason)
    kind = kind_of(path.name) or Kind.PLAIN
    if kind not in DOCUMENTS:
        return Text(text_of(_bytes(path, max_bytes), path.name, kind), _TAKEN_AS.get(kind, kind))
    if extractor is None:
        raise NotText(f"files that end in '{path.suffix}' are read in sources only")
    try:
        return _assembled(extractor.extract(path, kind, max_bytes=max_document_bytes, digest=digest), kind)
    except Unreadable as error:
        raise NotText(str(error)) from None


def text_of(raw: bytes, name: str, kind: Kind) -> str:
    """The text of a text file's content.

    Raises:
        NotText: It is binary, or in an encoding that cannot be told.
    """
    suffix = PurePosixPath(name.lower()).suffix
    text = _decoded(raw, declares=kind is Kind.HTML or suffix == ".xml")
    if kind is Kind.HTML:
        return text_of_html(text)
    if kind is Kind.TABLE:
        return _rows(text, delimiter="\t" if suffix == ".tsv" else "")
    return _readable_json(text) if kind is Kind.JSON else text


def _rows(text: str, *, delimiter: str) -> str:
    try:
        return text_of_table(text, delimiter=delimiter)
    except Unreadable as error:
        raise NotText(str(error)) from None


def read_text(path: Path, *, max_bytes: int, declares: bool = False) -> str:
    """The file's text with `\\n` line ends.

    Raises:
        NotText: It is too large, binary, in an encoding that cannot be told, or cannot be read.
    """
    return _decoded(_bytes(path, max_bytes), declares=declares)


def _bytes(path: Path, most: int) -> bytes:
    try:
        raw = path.read_bytes() if path.stat().st_size <= most else None
    except OSError as error:
        raise NotText(f"it cannot be read: {error.strerror}") from error
    if raw is None or len(raw) > most:
        raise NotText(f"it is larger than {most} bytes")
    return raw


def _decoded(raw: bytes, *, declares: bool) -> str:
    try:
        text = decoded(raw, declares=declares)
    except Undecodable as error:
        raise NotText(str(error)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")


def _assembled(found: Extract, kind: Kind) -> Text:
    """The parts of a document as one text, of which passages are slices."""
    places: list[Place] = []
    texts: list[str] = []
    at = 0
    for part in found.parts:
        places.append(Place(at, part.path, part.where, part.fragment))
        texts.append(part.text)
        at += len(part.text) + 2
    return Text("\n\n".join(texts), _TAKEN_AS.get(kind, kind), tuple(places), tuple(found.notes))


def _readable_json(text: str) -> str:
    """JSON that was written for machines, a value to a line and its letters as they are."""
    if "\\u" not in text and max(map(len, text.split("\n"))) <= _LONG_LINE:
        return text
    try:
        # 99.50 stays 99.50: fractions travel as marked strings.
        value = json.loads(text, parse_float=lambda number: f"{_FROM}{number}{_TO}")
        shown = json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "replace").decode()
    except (ValueError, RecursionError):
        return text
    return shown.replace(f'"{_FROM}', "").replace(f'{_TO}"', "")
