"""The file that new SQLite databases of tests are copied from, see `tests.kit.migrated`.

What is ours is imported when it is wanted: a second, which not every test takes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

# What `graph.db.database` looks at each file with before it opens it.
LOOK = "_look_at"
Look = Callable[[str], None]
_turn = threading.Lock()


class Migrated:
    """The file in `folder`; made when a copy is wanted first."""

    def __init__(self, folder: Path) -> None:
        self._made = folder / "migrated.db"
        self._new = folder / "new.db"
        self._turn = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where it is, once it is made."""
        with self._turn:
            if not self._made.exists():
                # In a thread of its own: whoever asks may have an event loop running in this one.
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(asyncio.run, _migrate(self._new)).result()
                self._new.rename(self._made)
        return self._made.parent

    def looking(self, look: Look) -> Look:
        """As `look`, but a file that is empty becomes a copy first."""

        def looked(path: str) -> None:
            if path != str(self._new) and _is_empty(path):
                _copy(self.folder / self._made.name, path)
            look(path)

        return looked


def are_copied(folder: Path) -> None:
    """To the end of this process, a forked one: copies of what was made in the folder."""
    from graph.db import database

    setattr(database, LOOK, Migrated(folder).looking(getattr(database, LOOK)))


async def _migrate(path: Path) -> None:
    from sqlalchemy.engine import URL

    from graph.checkpoints.saver import opened_saver
    from graph.db.database import opened_database

    url = URL.create("sqlite+aiosqlite", database=str(path))
    async with opened_database(url), opened_saver(url):
        pass


def _is_empty(path: str) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) == 0


def _copy(migrated: Path, path: str) -> None:
    """Fill the file, if it is empty still: threads and processes open it at once."""
    # What cannot be written is told by our database.
    with _turn, suppress(OSError):
        # Not opened where it need not be: closing it would drop the locks that SQLite has in this process.
        if not _is_empty(path):
            return
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_size == 0:
                file.write(migrated.read_bytes())
