"""When files change: wake-ups from the file system, and what to compare to know that it was for real."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path

Fingerprint = dict[str, str]
Stamps = dict[str, tuple[int, ...]]

_FOLLOWED = 8


async def wake_ups(
    folders: Callable[[], Iterable[Path]],
    *,
    quiet_s: float,
    every_s: float,
    recursive: bool = False,
    matters: Callable[[Path], bool] | None = None,
) -> AsyncGenerator[None, None]:
    """Yields when something happened in one of `folders` and then was quiet, and every `every_s`.

    The timer is for what no file system tells: network drives, a folder that is
    not there yet, a link further up that now points elsewhere.

    Args:
        folders: Asked again after each wake-up; those that do not exist are left out.
        quiet_s: Seconds without a change that end a burst of them.
        every_s: Seconds.
        recursive: Changes in the folders below count too.
        matters: Of the file that has changed; others wake nobody.
    """
    from watchfiles import awatch  # noqa: PLC0415 - a native library that a command never needs

    while True:
        watched = _existing(folders())
        if not watched:
            await asyncio.sleep(every_s)
            yield
            continue
        changes = awatch(
            *watched,
            watch_filter=None if matters is None else lambda _, path: matters(Path(path)),
            step=max(1, round(quiet_s * 1000)),
            debounce=max(1600, round(quiet_s * 4000)),
            rust_timeout=round(every_s * 1000),
            yield_on_timeout=True,
            recursive=recursive,
            ignore_permission_denied=True,
        )
        try:
            async with aclosing(changes):
                async for _ in changes:
                    yield
                    if _existing(folders()) != watched:
                        break
        except (
            OSError,
            RuntimeError,
        ):  # a folder went away before it was watched, or there are too many watches
            await asyncio.sleep(every_s)
            yield


def folders_of(files: Iterable[Path]) -> set[Path]:
    """Every folder in which a change can give one of `files` another content.

    A file may be a link, and so may its folder (ConfigMaps are mounted like
    that): a link is replaced in the folder where it stands.
    """
    found: set[Path] = set()
    for file in files:
        found |= {file.parent, *_followed(file), *_followed(file.parent)}
    return found


def _followed(path: Path) -> Iterator[Path]:
    """The folders of a link, of the link behind it, and so on to what it points at; none for no link."""
    for _ in range(_FOLLOWED):
        if not path.is_symlink():
            return
        yield path.parent
        path = path.parent / path.readlink()
        yield path.parent


def fingerprint(files: Iterable[Path]) -> Fingerprint:
    """What each file holds, as a digest; "" for one that cannot be read, and "empty" for one without text."""
    return {str(file): _digest(file) for file in files}


def _digest(file: Path) -> str:
    try:
        content = file.read_bytes() if file.is_file() else None
    except OSError:
        return ""
    if content is None:
        return ""
    return hashlib.sha256(content).hexdigest() if content.strip() else "empty"


def lost(before: Fingerprint, now: Fingerprint) -> frozenset[str]:
    """The files that had text and have none: an editor may be about to write them."""
    blank = {"", "empty"}
    return frozenset(
        name for name, mark in before.items() if mark not in blank and now.get(name, "") in blank
    )


def stamps(files: Iterable[Path]) -> Stamps:
    """When each file was written, or its folder where it is not there: tells equal contents apart."""
    return {str(file): _stamp(file) for file in files}


def _stamp(file: Path) -> tuple[int, ...]:
    for path in (file, file.parent):
        try:
            found = path.stat()
        except OSError:
            continue
        return found.st_ino, found.st_size, found.st_mtime_ns
    return ()


def _existing(folders: Iterable[Path]) -> list[Path]:
    return sorted({folder for folder in folders if folder.is_dir()})
