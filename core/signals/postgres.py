"""Signals over PostgreSQL: LISTEN and NOTIFY on a connection of their own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from core.signals.signals import Cut, Heard, Missed, Pending, Reach

CHANNEL = "waystation_signals"
CONNECT_S = 10.0
ANSWER_S = 10.0
FLUSH_S = 1.0
LET_GO_S = 0.5
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 10.0
BATCH = 500
# The system looks after an idle connection, so that this process need not wake up for it.
OPTIONS = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
NOTIFY = "SELECT pg_notify(%s, topic) FROM unnest(%s::text[]) AS topic"

Connection = psycopg.AsyncConnection[Any]


class PostgresRelay:
    """A `Relay` among the processes of a PostgreSQL database. It connects again for ever.

    What is sent while a NOTIFY is under way leaves with the next one. LISTEN
    needs a session: a pooler between must not share connections by transaction.

    Args:
        name: What its connection is called, for `core.database.replicas`.
    """

    def __init__(self, url: URL, *, name: str) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        options = {**OPTIONS, "application_name": name}
        self._options: dict[str, Any] = {k: v for k, v in options.items() if k not in url.query}
        self._pending = Pending()
        self._reach = Reach()
        self._stir = asyncio.Event()
        self._tried = asyncio.Event()
        self._failures = 0
        self._me = 0
        self._closing = False

    @property
    def cut(self) -> Cut | None:
        return self._reach.cut

    @property
    def details(self) -> Mapping[str, Any]:
        return {"waiting": len(self._pending), "dropped": self._pending.dropped}

    def send(self, topic: str) -> None:
        if not self._closing:
            self._pending.add(topic)
            self._stir.set()

    @asynccontextmanager
    async def opened(self, heard: Heard, missed: Missed) -> AsyncIterator[None]:
        work = asyncio.create_task(self._keep_connected(heard, missed), name="signals relay")
        try:
            await self._tried.wait()
            yield
        finally:
            await self._close(work)

    async def _close(self, work: asyncio.Task[None]) -> None:
        self._closing = True
        self._stir.set()
        if self.cut is None:
            # What was sent last gets a moment to leave.
            await asyncio.wait({work}, timeout=FLUSH_S)
        # psycopg takes up to ten seconds to cancel a statement that hangs; a second time it lets go at once.
        while not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=LET_GO_S)
        self._reach.close()

    async def _keep_connected(self, heard: Heard, missed: Missed) -> None:
        while not self._closing:
            try:
                await self._connect_and_serve(heard, missed)
            except Exception as error:  # noqa: BLE001 - whatever fails in there, a new connection may do
                self._reach.lose(f"no connection to the database for signals: {type(error).__name__}")
                self._tried.set()
                await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        longest = min(FIRST_RETRY_S * 2.0 ** min(self._failures, 20), LONGEST_RETRY_S)
        self._failures += 1
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret about it

    async def _connect_and_serve(self, heard: Heard, missed: Missed) -> None:
        async with asyncio.timeout(CONNECT_S):
            connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, prepare_threshold=None, **self._options
            )
        try:
            await self._serve(connection, heard, missed)
        finally:
            await connection.close()

    async def _serve(self, connection: Connection, heard: Heard, missed: Missed) -> None:
        def take(sender: int, topic: str) -> None:
            if sender != self._me:
                heard(topic)

        # For what arrives while a statement is under way.
        connection.add_notify_handler(lambda note: take(note.pid, note.payload))
        async with asyncio.timeout(ANSWER_S):
            await connection.execute(f"LISTEN {CHANNEL}")
            found = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
        self._me = found[0] if found else 0
        self._failures = 0
        self._reach.gain()
        self._tried.set()
        missed()
        while True:
            await self._pass_on(connection)
            # Also what libpq has read already behind the answer to a statement.
            connection.pgconn.consume_input()
            while note := connection.pgconn.notifies():
                take(note.be_pid, note.extra.decode("ascii", "replace"))
            if self._closing:
                return
            await self._stirred(connection)

    async def _pass_on(self, connection: Connection) -> None:
        while topics := self._pending.take(BATCH):
            try:
                async with asyncio.timeout(ANSWER_S):
                    await connection.execute(NOTIFY, [CHANNEL, topics])
            except BaseException:
                self._pending.put_back(topics)
                raise

    async def _stirred(self, connection: Connection) -> None:
        """Returns when something is to be sent or to be read.

        Not `connection.notifies()`, which wakes up ten times a second.
        """
        loop, socket = asyncio.get_running_loop(), connection.fileno()
        loop.add_reader(socket, self._stir.set)
        try:
            await self._stir.wait()
        finally:
            # Before libpq may close it.
            loop.remove_reader(socket)
        self._stir.clear()
