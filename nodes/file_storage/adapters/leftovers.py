"""What killed uploads and damage leave in a folder: contents without a record, and records without one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nodes.file_storage.adapters.notes import NOTES
from nodes.file_storage.models import Leftovers

RECORD = "meta.json"
INCOMING = ".incoming"


def reconciled(root: Path, until: datetime, *, remove: bool) -> Leftovers:
    """Find what was last written before `until`, and with `remove` delete it.

    That are pieces that no record names, and records whose content is not there. A folder whose record is
    damaged is left alone: its content may be the only copy.
    """
    found = _taken(_pieces(root), root, until, remove=remove)
    empty = _taken(_records_alone(root), root, until, remove=remove)
    return replace(found, records=empty.pieces)


def sweep_incoming(root: Path) -> None:
    """Remove what lies in `.incoming/` for a day; cheap, as the rest of the folder is not looked through."""
    _taken(_entries(root / INCOMING), root, datetime.now(UTC) - timedelta(days=1), remove=True)


def _taken(paths: Iterable[Path], root: Path, until: datetime, *, remove: bool) -> Leftovers:
    pieces = size = 0
    for path in paths:
        with suppress(FileNotFoundError):  # its upload has ended just now
            found = path.stat()
            if found.st_mtime < until.timestamp():
                pieces, size = pieces + 1, size + found.st_size
                if remove:
                    path.unlink()
                    _leave(path.parent, root)
    return Leftovers(pieces, size)


def _pieces(root: Path) -> Iterator[Path]:
    for owner in _entries(root):
        if owner.name == INCOMING:
            yield from _entries(owner)
        elif owner.name != NOTES and owner.is_dir():
            for folder in _entries(owner):
                yield from _unnamed(folder)


def _records_alone(root: Path) -> Iterator[Path]:
    """Records that name a content which is not there."""
    for owner in _entries(root):
        for folder in _entries(owner) if owner.name not in (INCOMING, NOTES) else ():
            record = folder / RECORD
            with suppress(ValueError, KeyError, TypeError, OSError):
                if not (folder / str(json.loads(record.read_bytes())["content"])).exists():
                    yield record


def _unnamed(folder: Path) -> Iterator[Path]:
    """Contents and half-written records that the folder's record does not name."""
    before = _entries(folder)
    try:
        kept = {RECORD, str(json.loads((folder / RECORD).read_bytes())["content"])}
    except FileNotFoundError:
        kept = set()
    except (ValueError, KeyError, TypeError, OSError):
        return
    # Listed before the record was read: a content that came in between is not among them.
    yield from (path for path in before if path.name not in kept)


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _leave(folder: Path, root: Path) -> None:
    """Take folders away that held nothing else."""
    while folder != root and folder.name != INCOMING:
        try:
            folder.rmdir()
        except OSError:  # somebody stores something there
            return
        folder = folder.parent
