"""What Word, Excel and PowerPoint files are: a ZIP of XML parts that refer to each other (ECMA-376)."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator

from lxml import etree

from nodes.rag.reading.extract import Unreadable

# Unpacked; a larger part is made to harm, or no document for people.
MOST_BYTES = 100_000_000
_MOST_FILES = 20_000
# Word, Excel and PowerPoint up to 2003, and any later file with a password, are "compound files".
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"


class Package:
    """The parts of one file, by their name within it."""

    def __init__(self, raw: bytes) -> None:
        if raw.startswith(_COMPOUND):
            raise Unreadable(
                "it needs a password, or is older than Office 2007; a copy saved anew without one is read"
            )
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(raw))
            self._names = {info.filename.lstrip("/"): info for info in self._zip.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise Unreadable("it is broken, or of another kind than its name says") from None
        if len(self._names) > _MOST_FILES:
            raise Unreadable("it holds too many parts")
        self._left = MOST_BYTES

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def bytes(self, name: str) -> bytes:
        """A part's content.

        Raises:
            Unreadable: It is missing, broken, or unpacks to too much.
        """
        info = self._names.get(name)
        if info is None:
            raise Unreadable(f"it is broken: its part '{posixpath.basename(name)}' is missing")
        try:
            with self._zip.open(info) as stream:
                content = stream.read(self._left + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
            raise Unreadable(f"it is broken: its part '{posixpath.basename(name)}' is damaged") from None
        self._left -= len(content)
        if self._left < 0:
            raise Unreadable("it unpacks to too much")
        return content

    def xml(self, name: str) -> etree._Element:
        """A part as XML; entities are not replaced and nothing is fetched."""
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
        )
        try:
            return etree.fromstring(self.bytes(name), parser)
        except etree.XMLSyntaxError:
            raise Unreadable(f"it is broken: its part '{posixpath.basename(name)}' is no XML") from None

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """(kind, part) of what a part refers to, by the id it uses; links to elsewhere are left out."""
        folder, base = posixpath.split(name)
        relations = posixpath.join(folder, "_rels", f"{base}.rels")
        if relations not in self:
            return {}
        found = {}
        for item in self.xml(relations).iter(_RELATION):
            if item.get("TargetMode") == "External":
                continue
            target = item.get("Target", "")
            part = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"{folder}/{target}")
            found[item.get("Id", "")] = (item.get("Type", "").rpartition("/")[2], part)
        return found

    def of_kind(self, name: str, kind: str) -> Iterator[str]:
        """The parts of a kind (`slide`, `footnotes`) that a part refers to."""
        return (part for found, part in self.related(name).values() if found == kind and part in self)

    def main(self) -> str:
        """The part with the document itself."""
        return next(self.of_kind("", "officeDocument"), "")
