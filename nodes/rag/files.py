"""Which files belong to a source, and what they are called."""

from __future__ import annotations

import glob
import os
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nodes.rag.reading import NotText, passed_over, read_text, unread_reason

__all__ = [
    "Listing", "NotText", "SourceFile", "exists", "fixed_part", "list_files", "not_there", "read_text",
    "root_name",
]  # fmt: skip


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
    """What is on disk now: files by document name, roots that are not there, files passed over and why."""

    files: dict[str, SourceFile]
    missing: tuple[str, ...]
    unread: dict[str, str]

    @property
    def ignored(self) -> int:
        return len(self.unread)


def list_files(roots: Iterable[str]) -> Listing:
    """Every text file under `roots`, with a name that is unique and says nothing of this machine."""
    files: dict[str, SourceFile] = {}
    unread: dict[str, str] = {}
    seen: set[Path] = set()
    missing: list[str] = []
    for root in roots:
        if not exists(root):
            missing.append(root)
            continue
        for relative, path, reason in _walk(root):
            if path in seen:
                continue
            seen.add(path)
            if reason:
                unread[_unique(relative, Path(root), unread)] = reason
                continue
            name = _unique(relative, Path(root), files)
            try:
                stat = path.stat()
            except OSError:
                continue  # an editor's draft, gone since the folder was read
            files[name] = SourceFile(name, path, root, stat.st_size, stat.st_mtime_ns)
    return Listing(files, tuple(missing), unread)


def root_name(root: str) -> str:
    """How a root is called in front of people: its last part."""
    return Path(root).name or root


def not_there(root: str) -> str:
    """A root that is missing, in words for people."""
    return f"'{root_name(root)}' is not there"


def exists(root: str) -> bool:
    """True while there is something to look into."""
    if glob.has_magic(root):
        return fixed_part(root).is_dir()
    return Path(root).exists()


def _walk(root: str) -> Iterator[tuple[str, Path, str]]:
    """(relative name, path, why it is passed over or "") of each file, sorted."""
    path = Path(root)
    if glob.has_magic(root):
        yield from _globbed(root)
    elif path.is_file():
        yield path.name, path.resolve(), unread_reason(path.name)
    else:
        yield from _in_folder(path.resolve())


def _globbed(pattern: str) -> Iterator[tuple[str, Path, str]]:
    base = fixed_part(pattern)
    for name in sorted(glob.glob(pattern, recursive=True)):
        path = Path(name)
        if path.is_file() and _inside(path, base):
            # A link has the name of what it leads to: rules of access hold for that.
            named = (
                path.resolve().relative_to(base.resolve()) if path.is_symlink() else path.relative_to(base)
            )
            yield named.as_posix(), path.resolve(), unread_reason(named.name)


def _in_folder(base: Path) -> Iterator[tuple[str, Path, str]]:
    """Links to folders are not followed, so that only a link itself can lead out."""
    for folder, folders, names in os.walk(base):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            found = Path(folder, name)
            if name.startswith(".") or name.endswith("~"):
                continue
            if not found.is_file():
                yield found.relative_to(base).as_posix(), found, "it is a link to nothing, or no plain file"
                continue
            link = found.is_symlink()
            if link and not _inside(found, base):
                yield found.relative_to(base).as_posix(), found, "its link leads out of the folder"
                continue
            # A link has the name of what it leads to: rules of access hold for that.
            path = found.resolve() if link else found
            yield path.relative_to(base).as_posix(), path, passed_over(path.name)


def _inside(path: Path, base: Path) -> bool:
    """False for a link that leads out of the source: it could show what nobody meant to."""
    return path.resolve().is_relative_to(base.resolve())


def fixed_part(pattern: str) -> Path:
    """The folders of a glob that are named outright."""
    parts = Path(pattern).parts
    fixed = [part for i, part in enumerate(parts) if not any(map(glob.has_magic, parts[: i + 1]))]
    return Path(*fixed)


def _unique(relative: str, root: Path, taken: Container[str]) -> str:
    if relative not in taken:
        return relative
    base = root if root.is_dir() else root.parent
    candidate = f"{base.resolve().name}/{relative}"
    number = 2
    while candidate in taken:
        candidate = f"{base.resolve().name}-{number}/{relative}"
        number += 1
    return candidate
