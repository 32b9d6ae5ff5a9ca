"""Lets turns in, a few at a time: those of one user in the order of their coming, those of many by turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

# Turns that are opened at a time. Who waits for something else than the processor meanwhile (a slow source,
# a database) keeps nobody from coming in for longer than so.
OPENED_AT_ONCE = 8
OPENED_S = 0.1


class TurnSlot:
    """A slot: given back once, by whoever has it, or after a while by itself."""

    def __init__(self, leave: Callable[[], None], longest_s: float) -> None:
        self._leave: Callable[[], None] | None = leave
        self._timer = asyncio.get_running_loop().call_later(longest_s, self.leave)

    def leave(self) -> None:
        """Let the next one in; again does nothing."""
        if self._leave is not None:
            self._timer.cancel()
            leave, self._leave = self._leave, None
            leave()

    def __enter__(self) -> TurnSlot:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()


class TurnSlots:
    """Opens so many turns at a time; of those who wait, the next one is of the user who has waited longest.

    Up to its first question to a model a turn is work of this process; behind that it mostly waits. Where
    many come at once and each gets a little of the processor in turn, all of them reach their model last.
    One after another, the first are there at once, and the last no later. A user with five hundred keeps
    another one waiting for one of them, and not for all.

    Args:
        at_once: Turns that are being opened at a time.
        longest_s: Seconds after which one that still is keeps nobody waiting any more.
    """

    def __init__(self, *, at_once: int = OPENED_AT_ONCE, longest_s: float = OPENED_S) -> None:
        self._free = at_once
        self._longest_s = longest_s
        # Those who wait, by user; whose turn it is stands first.
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    async def enter(self, user: str) -> TurnSlot:
        """A place, as soon as it is this user's turn; use it as a context manager."""
        if self._free:
            self._free -= 1
        else:
            await self._waited(user)
        return TurnSlot(self._next, self._longest_s)

    async def _waited(self, user: str) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(user, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it was let in just before
                self._next()
            raise

    def _next(self) -> None:
        """Somebody left: let in who comes next."""
        while self._lines:
            user = next(iter(self._lines))
            line = self._lines.pop(user)
            while line and line[0].done():  # gave up
                line.popleft()
            if not line:
                continue
            line.popleft().set_result(None)
            if line:
                self._lines[user] = line
            return
        self._free += 1
