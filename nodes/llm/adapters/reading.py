"""The body of an answer, from bytes to pieces; it stops growing where nobody could want more."""

from __future__ import annotations

from collections.abc import Iterator

from nodes.llm.adapters.answers import AnswerReader
from nodes.llm.adapters.sse import Event, EventReader, EventTooLong
from nodes.llm.pieces import Piece
from nodes.llm.profile import Profile

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of a whole answer on the wire."""


class Reading:
    """Reads one answer.

    Raises:
        EndpointError, NoAnswer, EventTooLong: From `feed` and `end`, as its parts say.
    """

    def __init__(self, profile: Profile) -> None:
        self._events = EventReader()
        self._answer = AnswerReader(profile)
        self._size = 0

    @property
    def done(self) -> bool:
        """The endpoint has said that this is all."""
        return self._answer.done

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that are complete with `chunk`."""
        self._size += len(chunk)
        if self._size > MAX_ANSWER:
            raise EventTooLong(f"an answer of more than {MAX_ANSWER} bytes")
        yield from self._read(self._events.feed(chunk))

    def end(self) -> Iterator[Piece]:
        """What was held back, and the piece with the reason to end, unless the answer was cut."""
        if not self.done:
            yield from self._read(self._events.end())
        answer = self._answer
        if answer.finish or answer.done or (self._events.whole and answer.complete):
            yield answer.last()

    def _read(self, events: Iterator[Event]) -> Iterator[Piece]:
        for event in events:
            yield from self._answer.read(event.data, name=event.name)
            if self.done:
                return  # what a server says behind its end is not part of the answer
