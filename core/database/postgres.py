"""A connection to PostgreSQL that gives up on a server which does not answer.

A server that was frozen, or behind a cut line, keeps its sockets: the system's keepalives are answered or
take minutes, and the driver waits for ever. So each wait of the driver ends when the task's patience does.
"""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import Generator, Mapping, Sequence
from time import monotonic
from typing import Any, Self

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy.engine import URL

from core.database.outage import CONNECT_S, PING_S, answer_seconds, answered_within
from core.database.reaching import connected, connected_now

# For connections that lie idle in the pool when the line is cut.
OPTIONS: dict[str, Any] = {
    "connect_timeout": math.ceil(CONNECT_S),
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
# A connection that was answered so lately is not asked for a sign of life.
FRESH_S = 1.0
# By these a server notices that its client has gone: one that closed its socket, within a statement too, and
# one whose host vanished. In the middle of a transaction, while a pipeline is open, no other timeout counts,
# and its locks would stay for the hours that the system waits. What an older release lacks is not set.
NOTICES = {
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
}
_VALUES = ", ".join(f"('{name}', '{value}')" for name, value in NOTICES.items())
_NOTICE_LEAVING = (
    f"(SELECT count(set_config(name, value, false)) FROM (VALUES {_VALUES}) AS wanted (name, value)"  # noqa: S608 - our own words
    " JOIN pg_settings USING (name) WHERE pg_backend_pid() = {pid})"
)
_SESSION = "keep_in_session"


def options_for(url: URL, session: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Options of a connection; what stands in the URL itself comes first.

    Args:
        session: Settings of PostgreSQL that the connection is to have, in milliseconds.
    """
    options = {name: value for name, value in OPTIONS.items() if name not in url.query}
    return {**options, _SESSION: dict(session)} if session else options


def greeting_to(connection: Any, session: Mapping[str, int]) -> str:
    """What a new connection says first. Behind a pooler it sets nothing: another would have it."""
    pid = int(connection.info.backend_pid)
    sets = [f"set_config('{name}', '{value}', false)" for name, value in session.items()]
    kept = "".join(f", CASE WHEN pg_backend_pid() = {pid} THEN {each} END" for each in sets)
    return f"SELECT pg_backend_pid(), {_NOTICE_LEAVING.format(pid=pid)}{kept}"


def is_pooled(connection: Any, answer: Sequence[Any] | None) -> bool:
    """Whether a pooler stands between, by the answer to `greeting_to`: it numbers its clients itself."""
    return answer is not None and answer[0] != connection.info.backend_pid


class PatientConnection(psycopg.AsyncConnection[Any]):
    """Raises `psycopg.OperationalError` where the server does not answer in time, and is closed then."""

    _answered = 0.0

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        session = options.pop(_SESSION, {})
        # The driver's own timeout holds for each address of the host, not for all.
        try:
            async with asyncio.timeout(CONNECT_S) as deadline:
                connection = await connected(super().connect, conninfo, **options)
                try:
                    # Plain rows, whatever the pool makes of them.
                    greeted = connection.cursor(row_factory=tuple_row)
                    await greeted.execute(greeting_to(connection, session).encode(), prepare=False)
                    if is_pooled(connection, await greeted.fetchone()):
                        # A statement that was prepared on one connection is not known to the next.
                        connection.prepare_threshold = None
                    if not connection.autocommit:
                        await connection.commit()
                except BaseException:
                    # Nobody else has it yet, and a polite end would wait for the same server.
                    connection.pgconn.finish()
                    raise
                return connection
        except TimeoutError:
            if not deadline.expired():
                raise
            raise psycopg.OperationalError(f"no answer within {CONNECT_S:g} s") from None

    async def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        seconds = answer_seconds()
        try:
            result = await super().wait(_until(gen, seconds), *args, **options)
        except _SilentError:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {seconds:g} s") from None
        self._answered = monotonic()
        return result

    async def check(self) -> None:
        """Look for a sign of life. Raises `psycopg.OperationalError` when there is none."""
        if _is_quiet(self.pgconn, self._answered):
            return
        with answered_within(PING_S):
            await self.execute("")


class PatientWriter(psycopg.Connection[Any]):
    """The same for the writer's thread."""

    _answered = 0.0

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        session = options.pop(_SESSION, {})
        connection = connected_now(super().connect, conninfo, **options)
        try:
            greeted = connection.cursor(row_factory=tuple_row)
            greeted.execute(greeting_to(connection, session).encode(), prepare=False)
            if is_pooled(connection, greeted.fetchone()):
                connection.prepare_threshold = None
        except BaseException:
            connection.close()
            raise
        return connection

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        seconds = answer_seconds()
        try:
            result = super().wait(_until(gen, seconds), *args, **options)
        except _SilentError:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {seconds:g} s") from None
        self._answered = monotonic()
        return result

    def is_alive(self) -> bool:
        """Ask for a sign of life, unless there was one a moment ago and the line is quiet since."""
        if _is_quiet(self.pgconn, self._answered):
            return True
        try:
            with answered_within(PING_S):
                self.execute("")
        except psycopg.Error:
            return False
        return True


def _is_quiet(line: Any, answered: float) -> bool:
    """True where the server has answered a moment ago, and has not hung up since: that can be read."""
    if monotonic() - answered > FRESH_S:
        return False
    look = select.poll()
    look.register(line.socket, select.POLLIN)
    return not look.poll(0)


class _SilentError(Exception):
    """The server has not answered in time."""


def _until(gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """The driver's steps, cut off at the first that finds nothing to read when the time is over."""
    deadline = monotonic() + seconds
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and monotonic() > deadline:
                raise _SilentError
            state = gen.send(ready)
    except StopIteration as end:
        return end.value
