"""Values: what is known of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

Origin = Literal["user", "tool"]

CHUNK_BYTES = 1024 * 1024
# The tag that says when a file ends.
EXPIRES = "expires_at"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What storage knows of one file.

    Args:
        key: Ours; the only handle of the file.
        name: What people call it. Any Unicode, never used as a path.
        size: Bytes.
        etag: SHA-256 of the content, in hex.
        created: When the content was stored, in UTC.
        origin: Who made it: "user" (an upload) or "tool" (an artifact).
        thread: The thread that used it last, or None.
        owner: Id of the user it belongs to.
        changed: When it was stored or annotated last, in nanoseconds; only lists know it.
    """

    key: str
    name: str
    size: int
    media_type: str
    etag: str
    created: datetime
    origin: Origin
    thread: str | None
    tags: Mapping[str, str]
    owner: str
    changed: int = field(default=0, compare=False)

    def with_content(
        self, size: int, etag: str, tags: Callable[[], Mapping[str, str]] | None = None
    ) -> FileInfo:
        """This draft as the file that it is now, with the tags that came with its content, if any did."""
        return replace(self, size=size, etag=etag, tags=tags() if tags else self.tags)

    @property
    def expires(self) -> datetime | None:
        """When it ends, as its tag has it; None where it has none that is a time with its zone."""
        try:
            at = datetime.fromisoformat(self.tags.get(EXPIRES, ""))
        except ValueError:
            return None
        return at if at.tzinfo else None

    def as_ref(self) -> dict[str, Any]:
        """The entry of the graph's `files` channel."""
        return {name: getattr(self, name) for name in ("key", "name", "media_type", "size", "origin")}

    def as_json(self) -> dict[str, Any]:
        """Everything, for machines."""
        rest = {"etag": self.etag, "created": self.created.isoformat(), "thread": self.thread}
        return {**self.as_ref(), **rest, "tags": dict(self.tags), "owner": self.owner}


def info_from_json(data: Mapping[str, Any]) -> FileInfo:
    """The opposite of `FileInfo.as_json`.

    Raises:
        KeyError, ValueError, TypeError: It is not such a record.
    """
    texts: dict[str, Any] = {name: str(data[name]) for name in ("key", "name", "media_type", "etag", "owner")}
    return FileInfo(
        **texts,
        size=int(data["size"]),
        created=datetime.fromisoformat(data["created"]),
        origin=as_origin(data["origin"]),
        thread=None if data["thread"] is None else str(data["thread"]),
        tags={str(k): str(v) for k, v in dict(data["tags"]).items()},
    )


def as_origin(value: object) -> Origin:
    """`value` as an origin; whatever is not a tool's came from a user."""
    return "tool" if value == "tool" else "user"


@dataclass(frozen=True, slots=True)
class OldFile:
    """A file as a sweep found it.

    Args:
        changed: When it was stored or annotated last, in UTC.
        place: The store's own name for it, of no meaning to others.
    """

    info: FileInfo
    changed: datetime
    place: str


@dataclass(frozen=True, slots=True)
class Usage:
    """How much is stored, by one owner or by all."""

    files: int = 0
    bytes: int = 0
    owners: int = 0

    def as_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DirectUpload:
    """A request that a client sends to the store itself, with exactly these headers.

    Args:
        url: Where a PUT with the content goes; it works for `seconds`.
    """

    url: str
    headers: Mapping[str, str]
    seconds: int


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What killed uploads and damage left behind.

    Args:
        pieces: Contents and parts of contents that no record names.
        bytes: Their size together; 0 where a store does not say.
        records: Records whose content is not there: files that can never be read again.
    """

    pieces: int = 0
    bytes: int = 0
    records: int = 0

    def as_json(self) -> dict[str, int]:
        return asdict(self)
