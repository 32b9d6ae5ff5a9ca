"""Which files belong to a source, what they are called, and their text."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset({".md", ".markdown", ".txt", ".rst", ".csv"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source. `root` is the folder, file or glob it was found by."""

    document: str
    path: Path
    root: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What is on disk now: files by document name, roots that are not there, files passed over."""

    files: dict[str, SourceFile]
    missing: tuple[str, ...]
    ignored: int


class NotText(Exception):
    """A file that is no text of ours; its message says why. Never leaves this module's users."""


def list_files(roots: Iterable[str]) -> Listing:
    """Every text file under `roots`, with a name that is unique and says nothing of this machine."""
    files: dict[str, SourceFile] = {}
    seen: set[Path] = set()
    missing: list[str] = []
    ignored = 0
    for root in roots:
        if not _exists(root):
            missing.append(root)
            continue
        for relative, path, wanted in _walk(root):
            if path in seen:
                continue
            seen.add(path)
            if not wanted:
                ignored += 1
                continue
            name = _unique(relative, Path(root), files)
            stat = path.stat()
            files[name] = SourceFile(name, path, root, stat.st_size, stat.st_mtime_ns)
    return Listing(files, tuple(missing), ignored)


def read_text(path: Path, *, max_bytes: int) -> str:
    """The file's text with `\\n` line ends.

    Raises:
        NotText: It is too large, binary, not UTF-8, or cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NotText(f"it cannot be read: {error.strerror}") from error
    if len(raw) > max_bytes:
        raise NotText(f"it is larger than {max_bytes} bytes")
    if b"\0" in raw:
        raise NotText("it is a binary file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotText("it is not UTF-8 text") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def root_name(root: str) -> str:
    """How a root is called in front of people: its last part."""
    return Path(root).name or root


def _exists(root: str) -> bool:
    if glob.has_magic(root):
        return _fixed_part(root).is_dir()
    return Path(root).exists()


def _walk(root: str) -> Iterator[tuple[str, Path, bool]]:
    """(relative name, path, whether it is wanted) of each file, sorted."""
    if glob.has_magic(root):
        base = _fixed_part(root)
        for name in sorted(glob.glob(root, recursive=True)):
            path = Path(name)
            if path.is_file() and _inside(path, base):
                yield path.relative_to(base).as_posix(), path.resolve(), True
        return
    path = Path(root)
    if path.is_file():
        yield path.name, path.resolve(), True
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            found = Path(folder, name)
            if not name.startswith(".") and found.is_file() and _inside(found, path):
                relative = found.relative_to(path).as_posix()
                yield relative, found.resolve(), found.suffix.lower() in SUFFIXES


def _inside(path: Path, base: Path) -> bool:
    """False for a link that leads out of the source: it could show what nobody meant to."""
    return path.resolve().is_relative_to(base.resolve())


def _fixed_part(pattern: str) -> Path:
    parts = Path(pattern).parts
    fixed = [part for i, part in enumerate(parts) if not any(map(glob.has_magic, parts[: i + 1]))]
    return Path(*fixed)


def _unique(relative: str, root: Path, taken: dict[str, SourceFile]) -> str:
    if relative not in taken:
        return relative
    base = root if root.is_dir() else root.parent
    candidate = f"{base.resolve().name}/{relative}"
    number = 2
    while candidate in taken:
        candidate = f"{base.resolve().name}-{number}/{relative}"
        number += 1
    return candidate
