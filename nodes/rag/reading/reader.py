"""Which files are read and how, by their names; and their text, whatever kind of text it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from nodes.rag.reading.decoding import Undecodable, decoded
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


_READ = {
    Kind.MARKDOWN: "md markdown mdx",
    Kind.RST: "rst",
    Kind.HTML: "html htm xhtml",
    Kind.TABLE: "csv tsv",
    Kind.JSON: "json",
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
    "PDF files": "pdf",
    "Word files": "docx doc docm dotx odt rtf pages",
    "PowerPoint files": "pptx ppt pptm odp key",
    "Excel files": "xlsx xls xlsm xlsb ods numbers",
    "e-books": "epub mobi azw3",
    "e-mails": "eml msg mbox pst",
    "notebooks": "ipynb",
    "images": "png jpg jpeg gif bmp tif tiff webp heic ico psd",
    "sound files": "mp3 wav ogg flac m4a aac",
    "videos": "mp4 mov avi mkv webm",
    "archives": "zip tar gz tgz bz2 xz 7z rar zst whl jar",
    "databases": "db sqlite sqlite3 parquet feather",
}
_WHY = {suffix: f"{what} are not read" for what, suffixes in _UNREAD.items() for suffix in suffixes.split()}


def kind_of(name: str) -> Kind | None:
    """How a file of this name is read; None where only its content could tell."""
    path = PurePosixPath(name.lower())
    suffix = path.suffix.removeprefix(".")
    found = _BY_SUFFIX.get(suffix)
    if found is None and not suffix and path.name in _NAMES_ALONE:
        return Kind.PLAIN
    return found


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
_FROM, _TO = "\ue0f0", "\ue0f1"


class NotText(Exception):
    """A file that is no text of ours; its message says why. Never leaves this module's users."""


@dataclass(frozen=True, slots=True)
class Text:
    """A document's text, and how its headings are written."""

    text: str
    kind: Kind


def read_document(path: Path, *, max_bytes: int) -> Text:
    """The text of a file as it is indexed and quoted: of a page its words, of a table its rows.

    Raises:
        NotText: It is too large, binary, of a kind that is not read, or cannot be read.
    """
    reason = unread_reason(path.name)
    if reason:
        raise NotText(reason)
    kind = kind_of(path.name) or Kind.PLAIN
    text = read_text(path, max_bytes=max_bytes, declares=kind is Kind.HTML or path.suffix.lower() == ".xml")
    if kind is Kind.HTML:
        return Text(text_of_html(text), Kind.MARKDOWN)
    if kind is Kind.TABLE:
        return Text(text_of_table(text, delimiter="\t" if path.suffix.lower() == ".tsv" else ""), kind)
    return Text(_readable_json(text) if kind is Kind.JSON else text, kind)


def read_text(path: Path, *, max_bytes: int, declares: bool = False) -> str:
    """The file's text with `\\n` line ends.

    Raises:
        NotText: It is too large, binary, in an encoding that cannot be told, or cannot be read.
    """
    try:
        raw = path.read_bytes() if path.stat().st_size <= max_bytes else None
    except OSError as error:
        raise NotText(f"it cannot be read: {error.strerror}") from error
    if raw is None or len(raw) > max_bytes:
        raise NotText(f"it is larger than {max_bytes} bytes")
    try:
        text = decoded(raw, declares=declares)
    except Undecodable as error:
        raise NotText(str(error)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")


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
