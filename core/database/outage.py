"""A database that is away: the one place that tells it from a fault of ours.

The engine (`core.database.engine`) and the savers of checkpoints pass each error of a driver through
`outage`; the edges (HTTP, turns, tasks, commands) do so once more with what reaches them by another way.
How long the database is waited for stands here too: for one answer, and for its return after an outage;
and work that is not left half done when its caller is cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from core.errors import StorageUnavailable

# How long somebody waits before asking again: most outages that pass are shorter.
RETRY_AFTER_S = 2.0

_SQLITE = {
    sqlite3.SQLITE_PERM: "cannot be read: its file belongs to another user",
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_NOMEM: "finds no memory",
    sqlite3.SQLITE_READONLY: "cannot be written: its file or folder is read-only",
    sqlite3.SQLITE_IOERR: "cannot be read or written: its disk fails",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_FULL: "cannot be written: the disk is full",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_PROTOCOL: "is locked by another program",
    sqlite3.SQLITE_NOTADB: "is damaged: its file is no SQLite database",
}
STANDBY = "takes no writes: it is a standby"
# By SQLSTATE, or by the class that its first two letters are.
_POSTGRES = {
    "08": "does not answer",
    "25006": STANDBY,
    "25P03": "ended the transaction, which took too long",
    "25P04": "ended the transaction, which took too long",
    "28": "refuses the role of this service",
    "3D": "is not there",
    "40": "had to choose between two writers",
    "53": "has no room left",
    "53100": "cannot be written: its disk is full",
    "53300": "has too many connections",
    "55P03": "is locked by another transaction",
    "57014": "took too long over a statement",
    "57P01": "is shutting down",
    "57P02": "is shutting down",
    "57P03": "is starting or stopping",
    "58": "cannot be read or written: its disk fails",
    "XX001": "is damaged",
    "XX002": "is damaged",
}
_SILENT = "does not answer"
# In reasons that do not pass while one waits: somebody has to do something.
_NOT_BY_ITSELF = ("full", "damaged", "read-only", "another user", "no room left", "refuses", "is not there")
_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EFBIG: "a file has reached its limit of size",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "a folder of the service may not be written by its user",
    errno.EIO: "the disk fails",
}

P = ParamSpec("P")
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
_endurance: ContextVar[Endurance | None] = ContextVar("waystation_endurance", default=None)


class DatabaseUnavailable(StorageUnavailable):
    """The database is away, locked, full or read-only; what was acknowledged before is kept."""

    title = "The database is unavailable"
    # No breaker stands before the database: a call that meets this outage on its way is not to blame.
    counts_as_failure = False

    def __init__(self, reason: str, *, detail: str = "") -> None:
        when = "when that is mended" if any(map(reason.count, _NOT_BY_ITSELF)) else "in a moment"
        super().__init__(detail or f"the database {reason}; try again {when}", retry_after=RETRY_AFTER_S)
        self.reason = reason


# For whoever looks again later, whatever a database said.
DATABASE_ERRORS = (SQLAlchemyError, DatabaseUnavailable)


def log_failure(log: Any, event: str, error: BaseException, **facts: Any) -> None:
    """One line where the database was away; with the stack where it is our own fault."""
    away = storage_outage(error)
    if away is not None:
        log.warning(event, reason=away.detail, **facts)
    else:
        log.error(event, exc_info=error, **facts)


def outage(error: BaseException) -> DatabaseUnavailable | None:
    """What a driver's error says of the database; None for one that is our own fault."""
    if isinstance(error, DatabaseUnavailable):
        return error
    if isinstance(error, NoConnectionFree):
        return DatabaseUnavailable("has no connection free for this request")
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    reason = _of_sqlite(error) if isinstance(error, sqlite3.Error) else _of_postgres(error)
    return DatabaseUnavailable(reason) if reason else None


def storage_outage(error: BaseException) -> StorageUnavailable | None:
    """The outage behind an error that reached an edge; None when there is none."""
    for found in _chain(error):
        if isinstance(found, StorageUnavailable):
            return found
        if away := outage(found):
            return away
        if isinstance(found, OSError) and found.errno in _DISK:
            return StorageUnavailable(f"{_DISK[found.errno]}; try again when that is mended")
    return None


@contextmanager
def outages_told() -> Iterator[None]:
    """In the block a driver's error that tells of an outage becomes DatabaseUnavailable."""
    try:
        yield
    except Exception as error:
        away = outage(error)
        if away is None or away is error:
            raise
        raise away from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    left = [error]
    while left:
        found = left.pop(0)
        yield found
        if isinstance(found, BaseExceptionGroup):
            left += found.exceptions
        if found.__cause__ is not None:
            left.append(found.__cause__)


def _of_sqlite(error: sqlite3.Error) -> str | None:
    # Extended codes have the primary one in their lowest byte.
    return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)


def _of_postgres(error: BaseException) -> str | None:
    # Not imported: where its errors come from, it is loaded already.
    psycopg = sys.modules.get("psycopg")
    if psycopg is None or not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    known = _POSTGRES.get(state) or _POSTGRES.get(state[:2])
    return known or (_SILENT if isinstance(error, psycopg.OperationalError) else None)


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


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which runs to its end in any case: a cancelled caller waits for that."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # the caller has gone: nobody else asks for it
        raise


def uninterrupted(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For functions that write in a transaction.

    A cancellation between its statements would leave the connection in a state
    that only closing it mends, and on SQLite the whole database locked meanwhile.
    """

    @wraps(method)
    async def outer(*args: P.args, **kwargs: P.kwargs) -> T:
        return await finished(method(*args, **kwargs))

    return outer
