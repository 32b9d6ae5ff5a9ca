"""What file storage needs from the outside: a place that keeps bytes, an address for links, a reader."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from core.resilience import TargetStatus
from nodes.file_storage.models import DirectUpload, FileInfo, Leftovers, OldFile, Usage
from nodes.file_storage.order import Spot


class FileStore(Protocol):
    """Keeps whole files under (owner, key).

    A file is visible whole or not at all, whatever interrupts a `put`.
    Every method may raise `core.errors.Unavailable`: StorageUnavailable,
    StorageTimedOut, or what a policy refuses. Those that take an existing key
    raise FileNotFound.
    """

    async def put(
        self,
        draft: FileInfo,
        data: AsyncIterator[bytes],
        *,
        tags: Callable[[], Mapping[str, str]] | None = None,
    ) -> FileInfo:
        """Store `data` under the draft's owner and key, in place of what was there.

        `data` is read once, to its end, before anything is stored.

        Args:
            tags: Gives those of the file when the data has ended, where they come with it; it may refuse.

        Returns:
            The draft with `size` and `etag` as counted from the data.
        """
        ...

    async def info(self, owner: str, key: str) -> FileInfo: ...

    def open(
        self, owner: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to and without `end`, in chunks; the range is cut to the file."""
        ...

    def scan(self, owner: str, *, after: Spot | str | None = None) -> AsyncIterator[FileInfo]:
        """The owner's files, the latest change first, each with the time of it in `changed`.

        Args:
            after: Begin behind this spot of the order, or behind this key.

        Raises:
            FileNotFound: There is no file with the key `after`.
        """
        ...

    async def listed(self, owner: str, known: Mapping[str, FileInfo]) -> Sequence[FileInfo]:
        """All of the owner's files, as `scan` gives them.

        Args:
            known: As lists gave them before, by key; those that did not change since need not be read again.
        """
        return [info async for info in self.scan(owner)]

    async def annotate(self, owner: str, key: str, *, thread: str | None) -> FileInfo:
        """Write which thread the file belongs to."""
        ...

    async def tag(self, owner: str, key: str, tags: Mapping[str, str]) -> FileInfo:
        """Write the tags of the file, in place of those that it had."""
        ...

    async def copy(self, owner: str, key: str, draft: FileInfo) -> FileInfo:
        """Store the content of a file under the draft's owner and key too, without it passing through us.

        Returns:
            The draft with the content's `size` and `etag`.
        """
        ...

    async def delete(self, owner: str, key: str) -> None: ...

    def unchanged_since(self, until: datetime) -> AsyncIterator[OldFile]:
        """Files of every owner that were stored and annotated before `until`, in no order.

        What others put there and damaged files are left out.
        """
        ...

    async def discard(self, old: OldFile) -> bool:
        """Delete the file that was found, unless it has changed or gone since; True when it was deleted."""
        ...

    async def presign(self, info: FileInfo, seconds: int) -> str | None:
        """An address that serves the file without us, or None where there is none."""
        return None

    async def presign_upload(self, draft: FileInfo, seconds: int) -> DirectUpload | None:
        """How a client stores the draft's content itself, or None where it cannot.

        The store refuses any content but that of the draft's `size` and `etag`.
        """
        return None

    async def usage(self, owner: str | None) -> Usage:
        """What is stored by `owner`, or by everyone."""
        ...

    async def sizes(self, owner: str) -> Mapping[str, int]:
        """The size of each of the owner's files, in bytes, by its key."""
        return {info.key: info.size async for info in self.scan(owner)}

    async def change_note(self, owner: str, change: Callable[[bytes], bytes]) -> bool:
        """Change a small note beside the owner's files; of all who do so at once, one after the other.

        Args:
            change: Makes the new note of the one that is there (b"" where there is none); the same one is not
                written. It may be called several times; what it raises leaves the note as it was.

        Returns:
            False where this store keeps no notes: `change` was not called then.
        """
        return False

    async def reconcile(self, until: datetime, *, remove: bool) -> Leftovers:
        """Find what was left behind before `until`, and with `remove` delete it.

        That are pieces of killed uploads, and records whose content is gone. A file that can be read is
        never touched.
        """
        ...

    async def free_bytes(self) -> int | None:
        """What is left to write to; None where nobody can say (a bucket)."""
        return None

    def breaker(self) -> TargetStatus | None:
        """The breaker before the place that keeps the files; None where there is none."""
        return None

    async def aclose(self) -> None: ...


class LinkHost(Protocol):
    """Where `/files/link/{token}` is served."""

    async def base_url(self) -> str:
        """The address before `/files/link/`, without a slash at the end."""
        ...

    async def aclose(self) -> None: ...


class DocumentReader(Protocol):
    """Takes the text out of a document, see `core.registry.Module.reader`."""

    async def read(self, path: Path) -> tuple[Sequence[tuple[str, str]], Sequence[str]]:
        """The parts of a document in order, each with its page, sheet or slide in words, and notes.

        Args:
            path: Its name says how it is read.

        Raises:
            InvalidInput: It cannot be read; says why, in words for people and without its name.
        """
        ...

    def sought(self, question: str, sample: str) -> Sequence[Sequence[str]]:
        """The words of a question, each with the beginnings that may stand for it in a text like `sample`."""
        ...
