"""Styles of an OpenDocument file, and what they, or marks of its parts, take out of sight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from lxml import etree

from nodes.rag.adapters.documents.ooxml import Package
from nodes.rag.reading.extract import Unreadable

STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
HIDDEN = "hidden text is not read"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_SHOWN_AS = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
# What a layout puts on every slide and on its notes.
_FURNITURE = {"page-number", "header", "footer", "date-time"}
_MOST_STEPS = 60


@dataclass(slots=True)
class Styles:
    """The styles of a file by name; `hiding` are those whose text is not shown.

    `left_out` is whether anything with a word in it was.
    """

    known: dict[str, etree._Element]
    hiding: frozenset[str] = frozenset()
    left_out: bool = field(default=False, init=False)

    @classmethod
    def of(cls, package: Package, content: etree._Element) -> Styles:
        """Those of the document, and those that it shares with others of its kind."""
        parts = (*_shared(package), content)
        found = {s.get(f"{STYLE}name", ""): s for part in parts for s in part.iter(f"{STYLE}style")}
        return cls(found, frozenset(name for name in found if _hides(name, found)))

    def hides(self, part: etree._Element) -> bool:
        """Whether a part of the text is not shown."""
        if part.get(f"{_SHOWN_AS}class") in _FURNITURE:
            return True
        hidden = part.get(f"{TEXT}style-name") in self.hiding or _marked(part)
        self.left_out = self.left_out or (hidden and any(text.strip() for text in part.itertext()))
        return hidden


def _shared(package: Package) -> Iterator[etree._Element]:
    """Where they cannot be read, the text can all the same."""
    with suppress(Unreadable):
        yield package.xml("styles.xml")


def _marked(part: etree._Element) -> bool:
    """A section or shape that is marked itself; LibreOffice has a name space of its own for shapes."""
    if part.tag == f"{TEXT}section":
        return part.get(f"{TEXT}display") == "none"
    if not str(part.tag).startswith(_DRAW):
        return False
    return any(value == "none" and str(key).endswith("}display") for key, value in part.attrib.items())


def _hides(name: str, styles: dict[str, etree._Element]) -> bool:
    """Whether a style says so, or the first one that it is based on and that says anything of it."""
    for _ in range(_MOST_STEPS):
        if name not in styles:
            return False
        told = styles[name].find(f"{STYLE}text-properties[@{TEXT}display]")
        if told is not None:
            return told.get(f"{TEXT}display") == "none"
        name = styles[name].get(f"{STYLE}parent-style-name", "")
    return False
