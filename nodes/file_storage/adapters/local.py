"""Files in a folder: `<root>/<owner>/<key>/` holds the content and its record, `meta.json`.

Content is written to `.incoming/`, synced, and moved beside the record under a
name of its own; the record is replaced last and says which content counts. So
a kill at any moment leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from asyncio import to_thread
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import structlog

from nodes.file_storage.adapters.intake import Intake, taken_in
from nodes.file_storage.adapters.leftovers import INCOMING, RECORD, reconciled, sweep_incoming
from nodes.file_storage.adapters.notes import NOTES, change_in_folder
from nodes.file_storage.errors import FileNotFound, StorageUnavailable
from nodes.file_storage.models import CHUNK_BYTES, FileInfo, Leftovers, OldFile, Usage, info_from_json
from nodes.file_storage.naming import owner_folder
from nodes.file_storage.order import Spot, behind, newest_first, together, unread
from nodes.file_storage.ports import FileStore

SCAN_BATCH = 64
TRIES = 3

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


async def _on_disk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `work`, done in a thread; what the disk says against it, without its paths."""
    try:
        return await to_thread(work, *args, **kwargs)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageUnavailable(f"the folder for files cannot be used: {reason}") from error


class LocalStore(FileStore):
    """A FileStore on the local disk; several processes may share the folder.

    Args:
        root: The folder; created when first written to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # Held while a record is replaced: read, change and write belong together.
        self._records = threading.Lock()
        self._swept = False

    async def put(
        self,
        draft: FileInfo,
        data: AsyncIterator[bytes],
        *,
        tags: Callable[[], Mapping[str, str]] | None = None,
    ) -> FileInfo:
        path, intake = await _on_disk(self._begin)
        try:
            await taken_in(intake, data, _on_disk)
            info = draft.with_content(intake.size, intake.etag, tags)
            return await _on_disk(self._commit, info, path, intake)
        finally:
            # Not in a thread: a second cancellation must not stop this. A full disk fails again here.
            with suppress(OSError):
                intake.close()
            with suppress(OSError):
                path.unlink(missing_ok=True)

    async def info(self, owner: str, key: str) -> FileInfo:
        return (await _on_disk(self._record, owner, key))[0]

    async def open(
        self, owner: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        handle = await _on_disk(self._content, owner, key, start)
        try:
            left = CHUNK_BYTES if end is None else max(0, end - start)
            while left:
                chunk = await _on_disk(handle.read, min(left, CHUNK_BYTES))
                if not chunk:
                    return
                yield chunk
                left = CHUNK_BYTES if end is None else left - len(chunk)
        finally:
            handle.close()

    async def scan(self, owner: str, *, after: Spot | str | None = None) -> AsyncIterator[FileInfo]:
        spots = behind(await _on_disk(self._newest_first, owner), after)
        for at in range(0, len(spots), SCAN_BATCH):
            batch = await _on_disk(self._records_of, owner, spots[at : at + SCAN_BATCH])
            for info in batch:
                yield info

    async def listed(self, owner: str, known: Mapping[str, FileInfo]) -> Sequence[FileInfo]:
        spots = await _on_disk(self._newest_first, owner)
        read: list[FileInfo] = []
        changed = unread(spots, known)
        for at in range(0, len(changed), SCAN_BATCH):
            read += await _on_disk(self._records_of, owner, changed[at : at + SCAN_BATCH])
        return together(spots, known, read)

    async def annotate(self, owner: str, key: str, *, thread: str | None) -> FileInfo:
        return await _on_disk(self._rewrite, owner, key, thread=thread)

    async def tag(self, owner: str, key: str, tags: Mapping[str, str]) -> FileInfo:
        return await _on_disk(self._rewrite, owner, key, tags=dict(tags))

    async def copy(self, owner: str, key: str, draft: FileInfo) -> FileInfo:
        return await _on_disk(self._copy, owner, key, draft)

    async def delete(self, owner: str, key: str) -> None:
        await _on_disk(self._delete, owner, key)

    async def unchanged_since(self, until: datetime) -> AsyncIterator[OldFile]:
        owners = await _on_disk(_folders, self._root)
        for owner in owners:
            folders = await _on_disk(_folders, owner)
            for at in range(0, len(folders), SCAN_BATCH):
                batch = await _on_disk(_old_files, folders[at : at + SCAN_BATCH], until)
                for old in batch:
                    yield old

    async def discard(self, old: OldFile) -> bool:
        return await _on_disk(self._discard, old)

    async def usage(self, owner: str | None) -> Usage:
        return await _on_disk(self._usage, owner)

    async def sizes(self, owner: str) -> Mapping[str, int]:
        return await _on_disk(_sizes, self._root / owner_folder(owner))

    async def change_note(self, owner: str, change: Callable[[bytes], bytes]) -> bool:
        await _on_disk(change_in_folder, self._root / NOTES / owner_folder(owner), change)
        return True

    async def reconcile(self, until: datetime, *, remove: bool) -> Leftovers:
        return await _on_disk(reconciled, self._root, until, remove=remove)

    async def aclose(self) -> None:
        """Nothing is kept open."""

    async def free_bytes(self) -> int:
        return await _on_disk(self._free_bytes)

    def _folder(self, owner: str, key: str) -> Path:
        return self._root / owner_folder(owner) / key

    def _begin(self) -> tuple[Path, Intake]:
        incoming = self._root / INCOMING
        incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._swept:
            self._swept = True
            sweep_incoming(self._root)
        path = incoming / secrets.token_hex(16)
        return path, Intake(path.open("xb", buffering=0))

    def _commit(self, info: FileInfo, path: Path, intake: Intake) -> FileInfo:
        _sync(intake.handle)
        intake.close()
        return self._put(info, path)

    def _put(self, info: FileInfo, path: Path) -> FileInfo:
        """Let a content that lies in `.incoming/` be that of the file."""
        folder = self._folder(info.owner, info.key)
        content = f"data-{secrets.token_hex(8)}"
        _move_into(folder, path, content)
        with self._records:
            before = _recorded(folder, "content")
            _write_record(folder, {**info.as_json(), "content": content})
        if before:
            (folder / str(before)).unlink(missing_ok=True)
        return info

    def _copy(self, owner: str, key: str, draft: FileInfo) -> FileInfo:
        """A second name for the same bytes, where the disk has such: contents are never written again."""
        path, intake = self._begin()
        intake.close()
        path.unlink()
        try:
            info = self._linked(owner, key, path)
            return self._put(replace(draft, size=info.size, etag=info.etag), path)
        finally:
            path.unlink(missing_ok=True)

    def _linked(self, owner: str, key: str, path: Path) -> FileInfo:
        for _ in range(TRIES):
            info, content = self._record(owner, key)
            # The content may be replaced between reading the record and naming it.
            with suppress(FileNotFoundError):
                _name_or_copy(content, path)
                return info
        raise StorageUnavailable(f"the content of file '{key}' is missing")

    def _record(self, owner: str, key: str) -> tuple[FileInfo, Path]:
        return _read_record(self._folder(owner, key))

    def _content(self, owner: str, key: str, start: int) -> IO[bytes]:
        for _ in range(TRIES):
            path = self._record(owner, key)[1]
            # The content may be replaced between reading the record and opening it.
            with suppress(FileNotFoundError):
                handle = path.open("rb")
                handle.seek(start)
                return handle
        raise StorageUnavailable(f"the content of file '{key}' is missing")

    def _newest_first(self, owner: str) -> list[Spot]:
        found: list[Spot] = []
        top = str(self._root / owner_folder(owner))
        for key in _names(top):  # texts and no Paths: there may be ten thousand
            with suppress(FileNotFoundError):  # deleted meanwhile, or never finished
                found.append((os.stat(f"{top}/{key}/{RECORD}").st_mtime_ns, key))
        return newest_first(found)

    def _records_of(self, owner: str, spots: Sequence[Spot]) -> list[FileInfo]:
        found = []
        for changed, key in spots:
            try:
                found.append(replace(self._record(owner, key)[0], changed=changed))
            except FileNotFound:
                continue
            except StorageUnavailable:  # one damaged record must not hide the others
                log.warning("file_record_damaged", key=key)
        return found

    def _rewrite(self, owner: str, key: str, **change: Any) -> FileInfo:
        with self._records:
            info, content = self._record(owner, key)
            changed = replace(info, **change)
            _write_record(content.parent, {**changed.as_json(), "content": content.name})
        return changed

    def _delete(self, owner: str, key: str) -> None:
        with self._records:
            content = self._record(owner, key)[1]
            (content.parent / RECORD).unlink()
        _clear(content)

    def _discard(self, old: OldFile) -> bool:
        folder = self._root / old.place
        with self._records:
            if _old_files([folder], datetime.max.replace(tzinfo=UTC)) != [old]:
                return False
            content = _read_record(folder)[1]
            (folder / RECORD).unlink()
        _clear(content)
        return True

    def _usage(self, owner: str | None) -> Usage:
        owners = _folders(self._root) if owner is None else [self._root / owner_folder(owner)]
        kept = [found for found in map(_sizes, owners) if found]
        return Usage(sum(map(len, kept)), sum(sum(found.values()) for found in kept), len(kept))

    def _free_bytes(self) -> int:
        place = self._root
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free


def _folders(parent: Path) -> list[Path]:
    return [parent / name for name in _names(str(parent))]


def _names(parent: str) -> list[str]:
    """Of the folders in it that are owners or files."""
    try:
        with os.scandir(parent) as entries:
            return [e.name for e in entries if e.is_dir() and e.name not in (INCOMING, NOTES)]
    except FileNotFoundError:
        return []


def _sizes(owner: Path) -> dict[str, int]:
    return {f.name: size for f in _folders(owner) if isinstance(size := _recorded(f, "size"), int)}


def _read_record(folder: Path) -> tuple[FileInfo, Path]:
    """A file and where its content stands."""
    try:
        data = json.loads((folder / RECORD).read_bytes())
        return info_from_json(data), folder / str(data["content"])
    except FileNotFoundError:
        raise FileNotFound(f"no file '{folder.name}'") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StorageUnavailable(f"the record of file '{folder.name}' is damaged") from error


def _old_files(folders: list[Path], until: datetime) -> list[OldFile]:
    """Those whose record was last written before `until`."""
    found = []
    for folder in folders:
        try:
            changed = datetime.fromtimestamp((folder / RECORD).stat().st_mtime, UTC)
            if changed < until:
                place = f"{folder.parent.name}/{folder.name}"
                found.append(OldFile(_read_record(folder)[0], changed, place))
        except (FileNotFoundError, FileNotFound):  # deleted meanwhile, or never finished
            continue
        except StorageUnavailable:
            log.warning("file_record_damaged", key=folder.name)
    return found


def _clear(content: Path) -> None:
    """Remove a content whose record is gone, and its folder."""
    content.unlink(missing_ok=True)
    with suppress(OSError):  # somebody stores the same key again
        content.parent.rmdir()


def _recorded(folder: Path, name: str) -> Any:
    """A part of a folder's record; None where there is no record, or a damaged one."""
    try:
        return json.loads((folder / RECORD).read_bytes())[name]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _name_or_copy(content: Path, path: Path) -> None:
    try:
        os.link(content, path)
        os.utime(path)  # it is on its way from now on, however old the bytes are
    except FileNotFoundError:
        raise
    except OSError:  # a file system without second names
        shutil.copyfile(content, path)
        with path.open("rb") as handle:
            os.fsync(handle.fileno())


def _move_into(folder: Path, path: Path, name: str) -> None:
    for attempt in range(TRIES):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            path.replace(folder / name)
        except FileNotFoundError:  # a delete of the same key took the folder away just now
            if attempt == TRIES - 1:
                raise
        else:
            return


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    path = folder / f".{secrets.token_hex(8)}"
    with path.open("xb") as handle:
        handle.write(json.dumps(record).encode())
        _sync(handle)
    path.replace(folder / RECORD)
    _sync_folder(folder)


def _sync(handle: IO[bytes]) -> None:
    handle.flush()
    os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
