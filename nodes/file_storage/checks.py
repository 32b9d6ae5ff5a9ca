"""What may be asked of files, checked before a store is: keys, threads, places in lists, life of links."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

from core.access import Principal
from core.errors import InvalidInput
from nodes.file_storage.errors import FileNotFound, FileTooLarge, InvalidFile
from nodes.file_storage.events import FileUploaded
from nodes.file_storage.models import CHUNK_BYTES, FileInfo
from nodes.file_storage.naming import (
    clean_name,
    given_tags,
    is_digest,
    is_key,
    media_type_of,
    new_key,
)
from nodes.file_storage.order import Spot, spot_of
from nodes.file_storage.settings import WEEK_SECONDS


def too_large(name: str, most: int) -> FileTooLarge:
    """The error for a file of more than `most` bytes."""
    return FileTooLarge(f"'{name[:255]}' is larger than {most} bytes, the limit file_storage.max_bytes")


def lifetime(seconds: int) -> int:
    """How long a link works, in seconds.

    Raises:
        InvalidInput: Not at all, or for more than a week.
    """
    if not 1 <= seconds <= WEEK_SECONDS:
        raise InvalidInput(f"a link lives 1 to {WEEK_SECONDS} seconds (got {seconds})")
    return seconds


def draft_of(
    principal: Principal, name: str, media_type: str | None, tags: Mapping[str, str] | None
) -> FileInfo:
    """A file of the principal before its content is known.

    Raises:
        InvalidFile: The tags are no texts, or too many.
    """
    kept, now, checked = clean_name(name), datetime.now(UTC), given_tags(tags)
    kind = media_type_of(kept, media_type)
    return FileInfo(new_key(), kept, 0, kind, "", now, "user", None, checked, principal.id)


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """The data in chunks."""
    for at in range(0, len(data), CHUNK_BYTES):
        yield data[at : at + CHUNK_BYTES]


def spot(after: str | None) -> Spot | str | None:
    """Where a list goes on: behind a cursor, or a key."""
    return None if after is None else spot_of(after) or existing(after)


def existing(key: str) -> str:
    """`key`, when a file may have it; what cannot be a key is not found, like any wrong one."""
    if not is_key(key):
        raise FileNotFound(f"no file {key[:80]!r}")
    return key


def checked_digest(sha256: str) -> str:
    """The SHA-256 of a content in small letters, when it is one.

    Raises:
        InvalidFile: It is none.
    """
    if not is_digest(sha256):
        raise InvalidFile("sha256 must be the content's SHA-256, 64 hexadecimal digits")
    return sha256.lower()


def checked_thread(thread: str | None) -> str | None:
    """The thread, when it may be one.

    Raises:
        InvalidFile: It may not.
    """
    if thread is not None and not is_key(thread):
        raise InvalidFile(f"{thread[:80]!r} cannot be a thread; use 1 to 64 of A-Z a-z 0-9 _ -")
    return thread


def stored(info: FileInfo) -> FileUploaded:
    """What is told of a file that was stored just now."""
    return FileUploaded(key=info.key, name=info.name, size=info.size, origin=info.origin, owner=info.owner)
