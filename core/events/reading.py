"""The audit log, read: the newest lines first, by who, what and which run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from core.events.bus import FILE
from core.settings import Places

# What one search looks through, the newest first: it takes some 100 ms.
MOST_BYTES = 64 * 1024 * 1024
_BLOCK = 256 * 1024


class AuditReader:
    """Searches the files of the audit log; without one there is nothing to find."""

    def __init__(self, places: Places) -> None:
        self._folder = places.home / "logs"

    async def find(
        self,
        *,
        q: str = "",
        who: str | None = None,
        what: str | None = None,
        run: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Lines as they were written, the newest first.

        Args:
            q: A part of the line.
            who: A user's id.
            what: The name of an event.
            run: A run's id.
            before: Only what happened before this time, as `at` has it.
        """
        same = {"who": who, "what": what, "run_id": run}
        return await asyncio.to_thread(
            self._find, q, {k: v for k, v in same.items() if v is not None}, before, limit
        )

    def _find(self, q: str, same: dict[str, str], before: str | None, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        # Only lines with all of them are read as JSON, which is most of what a line takes.
        parts = [orjson.dumps(value)[1:-1] for value in (q, *same.values()) if value]
        for line in self._lines():
            if not all(part in line for part in parts):
                continue
            try:
                entry = orjson.loads(line)
            except ValueError:
                continue  # a process was killed in the middle of it
            right = all(entry.get(name) == value for name, value in same.items())
            if right and (before is None or entry.get("at", "") < before):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def _lines(self) -> Iterator[bytes]:
        left = MOST_BYTES
        for path in self._files():
            for line in _backwards(path):
                left -= len(line)
                if left < 0:
                    return
                yield line

    def _files(self) -> Iterator[Path]:
        path, number = self._folder / FILE, 0
        while path.exists():
            yield path
            number += 1
            path = self._folder / f"{FILE}.{number}"


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last first."""
    try:
        handle = path.open("rb")
    except OSError:
        return  # it was rotated away just now
    with handle:
        place, rest = handle.seek(0, 2), b""
        while place:
            size = min(_BLOCK, place)
            place -= size
            handle.seek(place)
            first, *lines = (handle.read(size) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest = first
        if rest:
            yield rest
