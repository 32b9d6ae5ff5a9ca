"""Breakers seen from another process: a small file of states per process, and requests to reset."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from core.settings import Places

ALL = "all"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target's breaker for operators.

    `failures` of the latest `calls` failed; while it is not closed, of those
    that opened it. `since` is when it stopped being closed, or closed.
    """

    kind: str
    name: str
    state: str
    since: datetime
    failures: int
    calls: int
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": self.since.isoformat()}


def breakers_folder(places: Places) -> Path:
    """Where the processes of a service leave the states of their breakers."""
    return places.home / "state" / "breakers"


class StatusFile:
    """This process's file in `folder`, and the requests that others left there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One process may hold several services, in a notebook, say.
        self._path = folder / f"{os.getpid()}.{next(_numbers)}.json"

    def write(self, targets: Sequence[TargetStatus]) -> None:
        """Write the states down; a disk that refuses costs the file, not the call."""
        pid = os.getpid()
        body = {"pid": pid, "born": _born(pid), "targets": [target.as_json() for target in targets]}
        fresh = self._path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(orjson.dumps(body))
            os.replace(fresh, self._path)
        except OSError as error:
            structlog.get_logger(__name__).warning("breaker_states_not_written", reason=error.strerror)

    def remove(self) -> None:
        """Take the file away when the process needs it no more."""
        self._path.unlink(missing_ok=True)

    def reset_asked(self, target: str, since: float) -> bool:
        """True when somebody asked to reset `target` (KIND:NAME), or all, at or after `since`."""
        return any(_touched(_request(self._folder, each)) >= since for each in (target, ALL))


def ask_reset(folder: Path, target: str) -> None:
    """Ask every process to reset `target` (KIND:NAME, or "all") the next time it refuses a call to it."""
    path = _request(folder, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    now = time.time()  # the file system's clock is some milliseconds behind this one
    os.utime(path, (now, now))


def running(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """The targets that each living process wrote down, by process id; files of dead ones are removed."""
    found: dict[int, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            body = orjson.loads(path.read_bytes())
            pid, born, targets = int(body["pid"]), str(body["born"]), list(body["targets"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it has just ended, a disk was full, or another program left the file
        if _alive(pid, born):
            found.setdefault(pid, []).extend(targets)
        else:
            path.unlink(missing_ok=True)
    return found


def _request(folder: Path, target: str) -> Path:
    # A name may hold any character and be longer than a file's.
    return folder / "reset" / hashlib.sha256(target.encode()).hexdigest()[:32]


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")


def _alive(pid: int, born: str) -> bool:
    """Whether that very process runs; a container gives each service the same number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _born(pid) == born


def _born(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" where there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
