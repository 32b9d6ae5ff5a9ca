"""Signals over PostgreSQL: LISTEN and NOTIFY on a connection of their own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from core.database.reaching import connected
from core.database.servers import driver_address
from core.signals.mail import EVERYBODY, Mail
from core.signals.signals import Cut, Heard, Missed, Pending, Reach

CHANNEL = "waystation_signals"
CONNECT_S = 10.0
ANSWER_S = 10.0
FLUSH_S = 1.0
LET_GO_S = 0.5
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 10.0
BATCH = 500
# The system looks after an idle connection, so that this process need not wake up for it. Where the server's
# host has vanished, another may be the primary within seconds: who only listens has to notice that too.
OPTIONS = {
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# In binary form: as text, each letter of what is said would be looked at for quotes.
NOTIFY = "SELECT pg_notify(channel, said) FROM unnest(%b::text[], %b::text[]) AS sent (channel, said)"
WHO = "SELECT pg_backend_pid()"
POOLED = (
    "a pooler stands before the database, and LISTEN cannot pass it: others' news is looked for every"
    " {every:g} s; set storage.listen_url to the server's own address"
)
# Without LISTEN somebody has to look: as often as people find quick enough, and a database cheap enough.
POLL_S = 0.5

Connection = psycopg.AsyncConnection[Any]


class PostgresRelay:
    """A `Relay` among the processes of a PostgreSQL database. It connects again for ever.

    What is sent while a NOTIFY is under way leaves with the next one. LISTEN needs a session: where a pooler
    stands between, which may share connections by transaction, listeners are woken by the clock instead.

    Args:
        name: What its connection is called, for `core.database.replicas`.
        is_direct: The address is said to hold a session, whatever stands between.
    """

    def __init__(self, url: URL, *, name: str, is_direct: bool = False) -> None:
        self._dsn = driver_address(url)
        options = {**OPTIONS, "application_name": name}
        self._options: dict[str, Any] = {k: v for k, v in options.items() if k not in url.query}
        self._is_direct = is_direct
        self._pending: Pending[tuple[str, str]] = Pending()
        self.mail: Mail | None = Mail(self._post)
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
        self._post(CHANNEL, topic)

    def _post(self, channel: str, said: str) -> None:
        if not self._closing:
            self._pending.add((channel, said))
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
            connection = await connected(
                psycopg.AsyncConnection.connect,
                self._dsn,
                autocommit=True,
                prepare_threshold=None,
                **self._options,
            )
        try:
            await self._serve(connection, heard, missed)
        finally:
            await connection.close()

    async def _serve(self, connection: Connection, heard: Heard, missed: Missed) -> None:
        assert self.mail is not None  # noqa: S101 - an invariant
        mail = self.mail

        def take(sender: int, channel: str, said: str) -> None:
            if sender == self._me:
                return
            (heard if channel == CHANNEL else mail.arrived)(said)

        # For what arrives while a statement is under way.
        connection.add_notify_handler(lambda note: take(note.pid, note.channel, note.payload))
        listens = await self._begin(connection, mail)
        self._failures = 0
        self._tried.set()
        missed()
        mail.lost()
        loop = asyncio.get_running_loop()
        due = None if listens else loop.time() + POLL_S
        while True:
            await self._pass_on(connection)
            # Also what libpq has read already behind the answer to a statement.
            connection.pgconn.consume_input()
            while note := connection.pgconn.notifies():
                take(note.be_pid, note.relname.decode(), note.extra.decode("utf-8", "replace"))
            if self._closing:
                return
            await self._stirred(connection, due)
            if due is not None and loop.time() >= due:
                missed()
                due = loop.time() + POLL_S

    async def _begin(self, connection: Connection, mail: Mail) -> bool:
        """Listen; False where that would not be heard."""
        async with asyncio.timeout(ANSWER_S):
            found = await (await connection.execute(WHO)).fetchone()
            self._me = found[0] if found else 0
            # A pooler gives a number of its own to whom it lets in.
            if not self._is_direct and self._me != connection.info.backend_pid:
                self._reach.lose(POOLED.format(every=POLL_S))
                return False
            for channel in (CHANNEL, EVERYBODY, mail.address):
                await connection.execute(f"LISTEN {channel}")
        self._reach.gain()
        return True

    async def _pass_on(self, connection: Connection) -> None:
        while topics := self._pending.take(BATCH):
            try:
                async with asyncio.timeout(ANSWER_S):
                    await connection.execute(NOTIFY, [*map(list, zip(*topics, strict=True))])
            except BaseException:
                self._pending.put_back(topics)
                raise

    async def _stirred(self, connection: Connection, due: float | None) -> None:
        """Returns when something is to be sent or to be read, or when the time has come.

        Not `connection.notifies()`, which wakes up ten times a second.
        """
        loop, socket = asyncio.get_running_loop(), connection.fileno()
        loop.add_reader(socket, self._stir.set)
        try:
            async with asyncio.timeout_at(due):
                await self._stir.wait()
        except TimeoutError:
            return
        finally:
            # Before libpq may close it.
            loop.remove_reader(socket)
        self._stir.clear()
