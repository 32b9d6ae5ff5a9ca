"""The process in which documents are read: whatever a file does to it, the service is unharmed.

It takes a line of JSON for each document, `{"kind", "path", "most", "seconds"}`, and answers with a line:
`{"parts", "notes", "digest"}`, or `{"error"}` in words for people. It holds no more memory than it was
started for, ends by itself when it is told nothing more, and at once when a document takes longer than
`seconds`.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodes.rag.reading.extract import Extract, Unreadable
from nodes.rag.reading.reader import DOCUMENTS, Kind, kind_of, text_of

_DEPTH = 2


def main(memory: int) -> None:
    """Serve until standard input ends.

    Args:
        memory: Bytes of address space at most.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Libraries may print: answers go where these do not.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin.buffer:
        out.write(_answer(json.loads(line)))


def _answer(job: dict[str, Any]) -> bytes:
    # Nobody waits any longer; the signal ends the process wherever it is.
    signal.setitimer(signal.ITIMER_REAL, job["seconds"])
    try:
        raw = Path(job["path"]).read_bytes()
        if len(raw) > job["most"]:
            return _line({"error": f"it is larger than {job['most']} bytes"})
        found = extracted(Kind(job["kind"]), raw).as_json()
        return _line({**found, "digest": hashlib.sha256(raw).hexdigest()})
    except Exception as error:  # noqa: BLE001 - a library's own, of a file that it was not made for
        return _line({"error": _why(error)})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _why(error: Exception) -> str:
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}"
    known = {MemoryError: "reading it takes too much memory", RecursionError: "it is nested too deep"}
    return known.get(type(error), f"it is broken ({type(error).__name__})")


def extracted(kind: Kind, raw: bytes, depth: int = 0) -> Extract:
    """What stands in a document of a kind.

    Raises:
        Unreadable: It cannot be read.
    """
    return _reader(kind, depth)(raw)


def _reader(kind: Kind, depth: int) -> Callable[[bytes], Extract]:
    # Each needs a library of its own, and most sources have documents of one kind.
    from nodes.rag.adapters.documents import books, mail, odf, pdf, sheets, slides, word  # noqa: PLC0415

    mails = mail.reader(lambda name, content: _attached(name, content, depth + 1))
    readers = {
        Kind.PDF: pdf.read,
        Kind.WORD: word.read,
        Kind.SHEETS: sheets.read,
        Kind.SLIDES: slides.read,
        Kind.OPEN: odf.read,
        Kind.BOOK: books.read_book,
        Kind.NOTEBOOK: books.read_notebook,
        Kind.MAIL: mails,
        Kind.SAVED: mails,
    }
    return readers[kind]


def _attached(name: str, raw: bytes, depth: int) -> Extract | None:
    kind = kind_of(name)
    if kind is None or depth > _DEPTH:
        return None
    if kind in DOCUMENTS:
        return extracted(kind, raw, depth)
    found = Extract()
    found.add([text_of(raw, name, kind)])
    return found
