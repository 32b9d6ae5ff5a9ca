"""Reads a file as text, whatever kind of text it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nodes.rag.reading.decoding import Undecodable, decoded
from nodes.rag.reading.html import text_of_html
from nodes.rag.reading.kinds import Kind, kind_of, unread_reason
from nodes.rag.reading.tables import text_of_table

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
