"""What file storage needs from the outside: a place that keeps bytes, and an address for links."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from nodes.file_storage.models import FileInfo, Room, Usage


class FileStore(Protocol):
    """Keeps whole files under (owner, key).

    A file is visible whole or not at all, whatever interrupts a `put`.
    Every method may raise StorageUnavailable or StorageTimedOut; those that
    take an existing key raise FileNotFound.
    """

    async def put(self, draft: FileInfo, data: AsyncIterator[bytes]) -> FileInfo:
        """Store `data` under the draft's owner and key, in place of what was there.

        Returns:
            The draft with `size` and `etag` as counted from the data.
        """
        ...

    async def info(self, owner: str, key: str) -> FileInfo: ...

    def open(self, owner: str, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to and without `end`, in chunks; the range is cut to the file."""
        ...

    def scan(self, owner: str, *, after: str | None = None) -> AsyncIterator[FileInfo]:
        """The owner's files, the latest change first.

        Args:
            after: Begin behind this key.

        Raises:
            FileNotFound: There is no file `after`.
        """
        ...

    async def annotate(self, owner: str, key: str, *, thread: str | None) -> FileInfo:
        """Write which thread the file belongs to."""
        ...

    async def delete(self, owner: str, key: str) -> None: ...

    async def presign(self, info: FileInfo, seconds: int) -> str | None:
        """An address that serves the file without us, or None where there is none."""
        ...

    async def usage(self, owner: str | None) -> Usage:
        """What is stored by `owner`, or by everyone."""
        ...

    async def room(self) -> Room: ...

    async def aclose(self) -> None: ...


class LinkHost(Protocol):
    """Where `/files/link/{token}` is served."""

    async def base_url(self) -> str:
        """The address before `/files/link/`, without a slash at the end."""
        ...

    async def aclose(self) -> None: ...
