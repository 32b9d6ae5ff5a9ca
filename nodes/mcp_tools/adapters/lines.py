"""JSON-RPC as lines: cut out of what comes, and written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from core.foreign import storable

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


def message_line(method: str, params: Mapping[str, Any], *, request_id: int | None = None) -> bytes:
    """A request, or without a number a notification, as one line of JSON with the end of it."""
    number = {} if request_id is None else {"id": request_id}
    message = {"jsonrpc": "2.0", **number, "method": method, "params": params}
    try:
        return to_json(message, inf_nan_mode="null") + b"\n"
    except PydanticSerializationError:  # half of a surrogate pair, say
        return to_json(storable(message, weight=None)) + b"\n"
