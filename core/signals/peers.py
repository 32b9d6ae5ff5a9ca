"""The processes of a home, each with a file that names its port."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from core.holder import is_known_dead

# A folder that changes twice within a tick of the system's clock shows it once.
SETTLED_NS = 100_000_000


class Peers:
    """Registers this process and knows the ports of the others.

    A process keeps its file locked for as long as it lives, so that others can
    tell also where process ids say nothing: after a restart of the machine, or
    between containers. Files of the dead are removed by whoever meets them.

    Args:
        folder: The same for all; only its owner may enter.
        holder: The name of this process, from `core.holder`.
    """

    def __init__(self, folder: Path, holder: str) -> None:
        self._folder = folder
        self._holder = holder
        self.joins = 0
        """How often this process has registered: more than once when its file was removed."""
        self._port = 0
        self._lock: int | None = None
        self._ports: dict[str, int] = {}
        self._seen: int | None = None

    def __len__(self) -> int:
        return len(self._ports)

    def join(self, port: int) -> None:
        """From here on the others find this process.

        Raises:
            OSError: The file cannot be written.
        """
        self._port = port
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f".{self._holder}"
        lock = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # Without it, on a file system that knows no locks, the process id tells.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(lock, str(port).encode("ascii"))
            draft.replace(self._folder / self._holder)
        except BaseException:
            os.close(lock)
            raise
        self._let_go()
        self._lock = lock
        self.joins += 1

    def leave(self) -> None:
        """Nobody finds this process any more."""
        with suppress(OSError):
            (self._folder / self._holder).unlink()
        self._let_go()

    def others(self) -> Collection[int]:
        """The ports of the others that live. The folder is read only when it has changed.

        Raises:
            OSError: It cannot be read.
        """
        changed = self._changed()
        if changed != self._seen:
            self._read()
            settled = time.time_ns() - changed > SETTLED_NS
            self._seen = changed if settled else None
        for holder in [holder for holder in self._ports if is_known_dead(holder)]:
            del self._ports[holder]
            with suppress(OSError):
                (self._folder / holder).unlink()
        return self._ports.values()

    def _changed(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except FileNotFoundError:  # somebody tidied up
            self.join(self._port)
            return self._folder.stat().st_mtime_ns

    def _read(self) -> None:
        found = {name for name in os.listdir(self._folder) if not name.startswith(".")}
        if self._holder not in found:
            self.join(self._port)
        found.discard(self._holder)
        ports = {name: self._ports.get(name) or self._port_of(name) for name in found}
        self._ports = {name: port for name, port in ports.items() if port}

    def _port_of(self, name: str) -> int:
        """The port of a process; 0 when it is gone, or when the file is not of a process."""
        path = self._folder / name
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # it left just now
            return 0
        try:
            said = os.read(file, 8)
            if not said.isdigit() or not 0 < int(said) < 65_536:
                return 0
            if _unlocked(file):
                path.unlink(missing_ok=True)
                return 0
            return int(said)
        except OSError:  # a folder, say
            return 0
        finally:
            os.close(file)

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _unlocked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
