"""Which files belong to a source, and what they are called."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.home import WRITTEN
from nodes.rag.reading import NotText, passed_over, read_text, unread_reason

__all__ = [
    "Listing", "NotText", "SourceFile", "exists", "fixed_part", "list_files", "not_there", "read_text",
    "root_name",
]  # fmt: skip

_A_FOLDER = "it is a folder, and a glob finds files: name the folder itself, or write '/**' behind it"


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


def list_files(roots: Iterable[str], home: Path | None = None) -> Listing:
    """Every text file under `roots`, with a name that is unique and says nothing of this machine.

    Args:
        home: Where the service keeps its data. What is in there, users' files and logs, is no document,
            unless a root stands within; of a root that is the home itself, what the service writes is none.
    """
    files: dict[str, SourceFile] = {}
    unread: dict[str, str] = {}
    seen: set[Path] = set()
    missing: list[str] = []
    roots = tuple(roots)
    folders = _folders(roots)
    for root in roots:
        if not exists(root):
            missing.append(root)
            continue
        outer = _outermost(root, folders)
        base = Path(outer or root)
        for relative, path, reason in _walk(root, kept_out(root, home)):
            if path in seen or path in folders.values():
                continue
            seen.add(path)
            # Rules of access go by names: one file has the same whichever root is read first.
            own = path.relative_to(folders[outer]).as_posix() if outer else relative
            if reason:
                unread[_unique(own, base, unread)] = reason
                continue
            name = _unique(own, base, files)
            try:
                stat = path.stat()
            except OSError:
                continue  # an editor's draft, gone since the folder was read
            files[name] = SourceFile(name, path, root, stat.st_size, stat.st_mtime_ns)
    return Listing(files, tuple(missing), unread)


def _folders(roots: Iterable[str]) -> dict[str, Path]:
    """The roots that are folders, and where they are."""
    return {root: Path(root).resolve() for root in roots if not glob.has_magic(root) and Path(root).is_dir()}


def _outermost(root: str, folders: Mapping[str, Path]) -> str | None:
    """The folder among the roots that all of another root is in; None where that is in none."""
    path = (fixed_part(root) if glob.has_magic(root) else Path(root)).resolve()
    around = [name for name, folder in folders.items() if folder != path and path.is_relative_to(folder)]
    return min(around, key=lambda name: len(folders[name].parts), default=None)


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


def kept_out(root: str, home: Path | None) -> frozenset[Path]:
    """What of a home is no document below this root: all of it, or what is written where it is the root."""
    if home is None:
        return frozenset()
    base, real = (fixed_part(root) if glob.has_magic(root) else Path(root)).resolve(), home.resolve()
    if base == real:
        return frozenset(real / name for name in WRITTEN)
    return frozenset({real} if real.is_relative_to(base) else ())


def is_within(path: Path, folders: Collection[Path]) -> bool:
    """Whether the path is one of these or below it."""
    return any(path.is_relative_to(each) for each in folders)


def _walk(root: str, without: Collection[Path]) -> Iterator[tuple[str, Path, str]]:
    """(relative name, path, why it is passed over or "") of each file, sorted."""
    path = Path(root)
    if not glob.has_magic(root) and path.is_file():
        yield path.name, path.resolve(), unread_reason(path.name)
        return
    found = _globbed(root) if glob.has_magic(root) else _in_folder(path.resolve(), without)
    # Once more by where each leads: a link from outside of what is kept out is none of its ways in.
    yield from (one for one in found if not is_within(one[1], without))


def _globbed(pattern: str) -> Iterator[tuple[str, Path, str]]:
    base = fixed_part(pattern)
    for name in sorted(glob.glob(pattern, recursive=True)):
        path = Path(name)
        # A link, also one to its folder, has the name of what it leads to: rules of access hold for that.
        found = path.resolve()
        if not found.is_relative_to(base.resolve()):
            continue  # it could show what nobody meant to
        own = found.relative_to(base.resolve()).as_posix()
        if path.is_file():
            yield own, found, unread_reason(found.name)
        elif path.is_dir() and "**" not in pattern:
            yield own, found, _A_FOLDER


def _in_folder(base: Path, without: Collection[Path] = ()) -> Iterator[tuple[str, Path, str]]:
    """Links to folders are not followed, so that only a link itself can lead out."""
    for folder, folders, names in os.walk(base):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and Path(folder, f) not in without)
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
    # As it is written, and not what a link leads to: so it is known where the folder itself is not, too.
    name = Path(os.path.abspath(base)).name
    candidate = f"{name}/{relative}"
    number = 2
    while candidate in taken:
        candidate = f"{name}-{number}/{relative}"
        number += 1
    return candidate
