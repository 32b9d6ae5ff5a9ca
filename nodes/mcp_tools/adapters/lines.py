"""Cut a byte stream into lines in linear time and bounded memory.

The SDK's own reader joins strings chunk by chunk, so that its time grows with
the square of a message's size, and it has no limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_EDGE = 512
_ID_FIRST = re.compile(rb'^(?:data:)?\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+)\s*,')
_ID_LAST = re.compile(rb'"id"\s*:\s*(\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


@dataclass(frozen=True, slots=True)
class Oversize:
    """A line that was thrown away; `request_id` is the JSON-RPC id that stood at either end of it."""

    size: int
    request_id: int | None


def answered_by(line: bytes) -> int | None:
    """The request that a JSON-RPC answer belongs to, read off its ends: of one that is broken, say."""
    return _id_at(line[:_EDGE], line[-_EDGE:])


def _id_at(head: bytes, tail: bytes) -> int | None:
    found = _ID_FIRST.search(head) or _ID_LAST.search(tail)
    return int(found[1]) if found else None


class LineCutter:
    """Feed it chunks, get whole lines.

    Args:
        limit: Longest line that is kept, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> Iterator[bytes | Oversize]:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._add(end)
            yield self._take()
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if len(self._head) < _EDGE:
            self._head += piece[: _EDGE - len(self._head)]
        self._tail = (self._tail + piece[-_EDGE:])[-_EDGE:]
        if self._size > self._limit:
            self._parts.clear()
        elif piece:
            self._parts.append(piece)

    def _take(self) -> bytes | Oversize:
        if self._size > self._limit:
            line: bytes | Oversize = Oversize(self._size, _id_at(self._head, self._tail))
        else:
            line = b"".join(self._parts)
        self._parts, self._size, self._head, self._tail = [], 0, b"", b""
        return line
