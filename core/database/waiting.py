"""How long the database is waited for: for one answer, and for its return after an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from core.database.outage import DatabaseUnavailable

T = TypeVar("T")

# Somebody gets an answer within five seconds, also when the database gives none.
ANSWER_S = 4.0
# What a connection may take to show that it is alive: a new one can then be made in time.
PING_S = 1.0
CONNECT_S = 2.5
# For tasks, which nobody waits for on a connection, and for migrations.
TASK_S = 60.0
UNHURRIED_S = 600.0
# Between two tries while it is away.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

_seconds: ContextVar[float | None] = ContextVar("waystation_database_patience", default=None)


def answer_seconds() -> float:
    """Seconds that a statement of this task may take."""
    return _seconds.get() or ANSWER_S


def is_given() -> bool:
    """Whether this task has said how long it waits."""
    return _seconds.get() is not None


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Statements of the block may take this long."""
    token = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


class Endurance:
    """How long whoever works waits for a database that is away, and whom it tells.

    Args:
        seconds: From the beginning of the first try that failed.
        away: Told once for each outage, with the error and the seconds that the first try took.
        back: Told when the outage is over.
    """

    def __init__(
        self,
        seconds: float,
        *,
        away: Callable[[DatabaseUnavailable, float], None] = lambda error, took: None,
        back: Callable[[], None] = lambda: None,
    ) -> None:
        self._seconds = seconds
        self._tell_away = away
        self._tell_back = back
        self._since: float | None = None

    async def through(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, which may be done more than once.

        Raises:
            DatabaseUnavailable: The database has been away for too long.
        """
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                result = await work()
            except DatabaseUnavailable as error:
                if not self._goes_on(error, began):
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self.over()
                return result

    def _goes_on(self, error: DatabaseUnavailable, began: float) -> bool:
        now = time.monotonic()
        if self._since is None:
            self._since = began
            self._tell_away(error, now - began)
        # The next try may take as long as this one did.
        return now + (now - began) - self._since < self._seconds

    def over(self) -> None:
        """The database answers."""
        if self._since is not None:
            self._since = None
            self._tell_back()


_endurance: ContextVar[Endurance | None] = ContextVar("waystation_endurance", default=None)


@contextmanager
def enduring(endurance: Endurance) -> Iterator[None]:
    """In the block, and in tasks that are made there, `endured` work is tried again."""
    token = _endurance.set(endurance)
    try:
        yield
    finally:
        _endurance.reset(token)


async def endured(work: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
    """The result of `work`, tried again while the database is away and somebody here endures that.

    It must come to the same however often it is done: an outage does not say
    whether what was written before it is there.
    """
    endurance = _endurance.get()
    if endurance is None:
        return await work(*args, **options)
    return await endurance.through(lambda: work(*args, **options))
