"""How often open streams are read: token by token where few are open, a few tokens together where many are.

A token costs the service about the same whether it comes alone or with others, so
a reader who looks 12 times a second costs a fraction of one who looks at each. The
first token of an answer is never held, and an answer that has ended is not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import aiohttp

from nodes.llm.pieces import Piece

FEW = 12
"""Streams that are read token by token."""
EACH_SECONDS = 0.0025
LONGEST_SECONDS = 0.08
"""Between two looks: no more than a person sees as flowing text."""


@dataclass(slots=True)
class Crowd:
    """How many streams of this process are open now."""

    streams: int = 0

    @property
    def rest(self) -> float:
        """Seconds between two looks at one of them."""
        return 0.0 if self.streams <= FEW else min(self.streams * EACH_SECONDS, LONGEST_SECONDS)


CROWD = Crowd()


class Pace:
    """Of one stream, as a context: it counts as open within.

    Args:
        content: What is read; its end ends a rest.
        crowd: Those that it shares the process with.
    """

    def __init__(self, content: aiohttp.StreamReader, crowd: Crowd = CROWD) -> None:
        self._content = content
        self._crowd = crowd
        self._resting: asyncio.Future[None] | None = None
        self._ended = False

    def __enter__(self) -> Pace:
        self._crowd.streams += 1
        self._content.on_eof(self._end)
        return self

    def __exit__(self, *exc: object) -> None:
        self._crowd.streams -= 1

    def shared(self, pieces: Iterable[Piece]) -> Iterable[Piece]:
        """What came at once, as few pieces where many streams are open."""
        return together(pieces) if self._crowd.rest else pieces

    async def rest(self) -> bool:
        """Wait before the next look, where many streams are open; whether it did."""
        seconds = self._crowd.rest
        if not seconds or self._ended:
            return False
        loop = asyncio.get_running_loop()
        self._resting = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._resting
        finally:
            timer.cancel()
            self._resting = None
        return True

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)


def together(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same pieces, neighbours that are text and nothing else as one."""
    said: list[str] = []
    try:
        for piece in pieces:
            if _is_text(piece):
                said.append(piece.content)
                continue
            if said:
                yield Piece("".join(said))
                said = []
            yield piece
    except Exception:
        # What was said in front of an error has been said.
        if said:
            yield Piece("".join(said))
        raise
    if said:
        yield Piece("".join(said))


def _is_text(piece: Piece) -> bool:
    more = piece.tool_call_chunks or piece.additional_kwargs
    return bool(piece.content) and not (more or piece.response_metadata or piece.usage_metadata)
