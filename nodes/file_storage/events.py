"""What file storage tells the event bus, after the fact."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUploaded(Event):
    """A file was stored, new or in place of the one with its key.

    Args:
        size: Bytes.
        origin: "user" (an upload) or "tool" (an artifact).
        owner: Id of the user it belongs to.
    """

    key: str
    name: str
    size: int
    origin: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDeleted(Event):
    """A file was deleted: by its owner, with its thread, or because it was old."""

    key: str
    owner: str
