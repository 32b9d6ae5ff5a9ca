"""Which files are read and how, by their names; and why others are not."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath


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
