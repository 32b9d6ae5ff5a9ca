"""Server-sent events out of bytes, as compatible servers really write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MAX_EVENT = 8 * 1024 * 1024
"""Bytes of one event, or of an answer that is one JSON body."""

_BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """A line without end."""


class Event(NamedTuple):
    """The data of one event, and its name where it has one."""

    data: bytes
    name: str = ""


class EventReader:
    """Bytes in, events out. Bytes may be cut anywhere; lines end with CR, LF or both.

    Lenient where servers are: a colon without a space, events that no blank
    line parts, lines of bare JSON. A body that begins like JSON is no stream of
    events: it is kept whole, and is the one event of `end`.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._size = 0
        self._data: list[bytes] = []
        self._name = ""
        self._after_cr = False
        self._begun = False
        self._whole: list[bytes] | None = None

    @property
    def whole(self) -> bool:
        """True for a body that is no stream of events."""
        return self._whole is not None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are complete with `chunk`.

        Raises:
            EventTooLong: One grows beyond MAX_EVENT.
        """
        if (whole := self._whole_events(chunk)) is not None:
            yield from whole
            return
        self._size += len(chunk)
        if not self._begun:
            chunk = self._first(chunk)
        if self._whole is not None:
            self._whole.append(chunk)
        else:
            *lines, rest = self._unix(chunk).split(b"\n")
            for line in lines:
                yield from self._taken(line)
            if rest:
                self._line.append(rest)
        if self._size > MAX_EVENT:
            raise EventTooLong(f"an event of more than {MAX_EVENT} bytes")

    def end(self) -> Iterator[Event]:
        """What stands without a line end after it."""
        if self._whole is not None:
            yield Event(b"".join(self._whole))
            return
        if self._line:
            yield from self._taken(b"")
        yield from self._dispatched()

    def _whole_events(self, chunk: bytes) -> list[Event] | None:
        """The events of a chunk that is just some of them, a line each, as most are; None for any other."""
        between = self._begun and not (self._line or self._data or self._name or self._after_cr or self.whole)
        if not between or chunk[-2:] != b"\n\n" or b"\r" in chunk or len(chunk) > MAX_EVENT:
            return None
        lines = chunk[:-2].split(b"\n\n")
        if any(line[:6] != b"data: " or b"\n" in line for line in lines):
            return None
        self._size = 0
        return [Event(line[6:]) for line in lines]

    def _first(self, chunk: bytes) -> bytes:
        """The first bytes say whether it is a stream; a byte order mark in front of them is dropped."""
        chunk = b"".join([*self._line, chunk])
        self._line.clear()
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._line.append(chunk)
            return b""
        text = chunk.removeprefix(_BOM).lstrip()
        if not text:
            return b""
        self._begun = True
        if text[:1] in b"{[<":
            self._whole = []
        return text

    def _unix(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
        if chunk:
            self._after_cr = chunk[-1:] == b"\r"
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in chunk else chunk

    def _taken(self, line: bytes) -> Iterator[Event]:
        if self._line:
            line = b"".join([*self._line, line])
            self._line.clear()
        if not line:
            yield from self._dispatched()
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value[1:] if value[:1] == b" " else value
        elif line.lstrip()[:1] in (b"{", b"["):
            value = line.lstrip()
        elif field.strip() == b"event":
            self._name = value.strip()[:40].decode("utf-8", "replace")
            return
        elif field.strip() == b"data":
            value = value.strip()
        else:  # a comment, an id, or what nobody knows
            self._size = self._size if self._data else 0
            return
        if self._data and _is_whole(self._data):
            yield from self._dispatched()
        self._data.append(value)

    def _dispatched(self) -> Iterator[Event]:
        self._size = 0
        if self._data:
            event = Event(b"\n".join(self._data) if len(self._data) > 1 else self._data[0], self._name)
            self._data.clear()
            self._name = ""
            yield event


def _is_whole(lines: list[bytes]) -> bool:
    """Whether data looks complete, so that more of it is another event; pretty JSON has several lines."""
    line = lines[0].strip() if len(lines) == 1 else b""
    return (line[:1] == b"{" and line[-1:] == b"}") or line == b"[DONE]"
