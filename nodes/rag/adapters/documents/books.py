"""E-books (EPUB) and notebooks: chapters and cells, in their order, under their headings.

EPUB 3.3: META-INF/container.xml names the package document, whose spine is the order of reading.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from nodes.rag.adapters.documents.ooxml import Package
from nodes.rag.reading.decoding import Undecodable, decoded
from nodes.rag.reading.extract import MOST_CHARS, Extract, Unreadable
from nodes.rag.reading.html import text_of_html

_CONTAINER = "META-INF/container.xml"
_FILE_NAME = re.compile(r"\A# [^\s/]{1,100}\.x?html?\n+")
_FONTS = ("font", "otf", "ttf", "woff")


def read_book(raw: bytes) -> Extract:
    """The chapters of an e-book.

    Raises:
        Unreadable: It is broken, protected against copying, or has no text.
    """
    package = Package(raw)
    if _is_protected(package):
        raise Unreadable("it is protected against copying")
    found = Extract()
    for number, name in enumerate(_spine(package), start=1):
        try:
            page = decoded(package.bytes(name), declares=True)
        except Undecodable:
            found.notes.append(f"part {number} is no text")
            continue
        found.add([_without_file_name(text_of_html(page))], where=f"part {number}")
        if found.chars > MOST_CHARS:
            raise Unreadable("it is too much text")
    if not found.parts:
        raise Unreadable("it has no text")
    return found


def _without_file_name(text: str) -> str:
    """A chapter's text without a title that is only what its file is called, as pandoc has it."""
    return _FILE_NAME.sub("", text, count=1)


def _is_protected(package: Package) -> bool:
    """True where more than fonts is encrypted."""
    if "META-INF/encryption.xml" not in package:
        return False
    hidden = package.xml("META-INF/encryption.xml").iter("{*}CipherReference")
    return any(not item.get("URI", "").lower().endswith(_FONTS) for item in hidden)


def _spine(package: Package) -> Iterator[str]:
    root = next(package.xml(_CONTAINER).iter("{*}rootfile"), None)
    name = "" if root is None else root.get("full-path", "")
    document = package.xml(name)
    items = {item.get("id"): item.get("href", "") for item in document.iter("{*}item")}
    for itemref in document.iter("{*}itemref"):
        href = unquote(items.get(itemref.get("idref"), "").partition("#")[0])
        part = posixpath.normpath(posixpath.join(posixpath.dirname(name), href))
        if href and part in package:
            yield part


def read_notebook(raw: bytes) -> Extract:
    """The cells of a Jupyter notebook (nbformat 4), with what they printed; pictures are left out.

    Raises:
        Unreadable: It is no notebook.
    """
    try:
        cells = json.loads(raw)["cells"]
        blocks = [block for cell in cells for block in _cell(cell)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable("it is no notebook of nbformat 4") from None
    found = Extract()
    found.add(blocks)
    return found


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = _joined(cell["source"])
    if cell["cell_type"] != "code":
        yield source
        return
    yield f"```\n{source}\n```" if source.strip() else ""
    for output in cell.get("outputs", []):
        said = _joined(output.get("text") or output.get("data", {}).get("text/plain") or "")
        if said.strip():
            yield f"```\n{said.strip()}\n```"


def _joined(said: str | list[str]) -> str:
    return said if isinstance(said, str) else "".join(said)
