"""What is published: files that never change, a list of those of one generation, and one pointer.

    pointer.json                 which list is the newest; replaced in one step
    generations/<key>.json       path, digest and size of each file of an index
    files/<digest>               the files, each once, whatever generations it is in
    writer.json                  who may write

What comes from a bucket is not trusted to be ours: paths stay in their folder, and a file has the digest
that it is listed with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from nodes.rag.errors import IndexBroken

POINTER = "pointer.json"
WRITER = "writer.json"
GENERATIONS = "generations/"
FILES = "files/"
_FORMAT = 1
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of an index: its path in the index's folder, SHA-256 and size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Generation:
    """An index as it was at one time.

    Args:
        key: Of its list; no two have the same.
        number: Counts up.
        by: Who published it, for people.
    """

    key: str
    number: int
    by: str
    parts: tuple[Part, ...] = ()

    def as_pointer(self) -> bytes:
        return orjson.dumps({"format": _FORMAT, "key": self.key, "number": self.number, "by": self.by})

    def as_list(self) -> bytes:
        return orjson.dumps({"format": _FORMAT, **asdict(self)})

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each file by its path."""
        return {part.path: part.digest for part in self.parts}


def read_generation(content: bytes) -> Generation:
    """A pointer or a list, as it stands in the bucket.

    Raises:
        IndexBroken: It is neither, or of a newer form, or names what is outside of the index's folder.
    """
    try:
        data: Any = orjson.loads(content)
        if data["format"] != _FORMAT:
            raise IndexBroken("the index in the bucket was published by another version of Waystation")
        parts = tuple(map(_part, data.get("parts", ())))
        return Generation(_name(data["key"]), int(data["number"]), str(data["by"]), parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexBroken("what is published in the bucket cannot be read") from error


def _part(data: Mapping[str, Any]) -> Part:
    path = PurePosixPath(str(data["path"]))
    if path.is_absolute() or ".." in path.parts or "\\" in str(path) or not path.parts:
        raise ValueError(f"a path leads out of the folder: {path}")
    digest = str(data["digest"])
    if len(digest) != 64 or not _HEX.issuperset(digest):
        raise ValueError("no digest")
    return Part(str(path), digest, int(data["size"]))


def _name(key: Any) -> str:
    if not isinstance(key, str) or not key.replace("-", "").isalnum():
        raise ValueError("no key")
    return key


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
