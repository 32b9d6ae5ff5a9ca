"""LangGraph's checkpoints, in the same database as our tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from sqlalchemy.engine import URL

from core.database.engine import (
    BUSY_MS,
    DRIVERS,
    POOL,
    POOL_WAIT_S,
    POSTGRES_MISSING,
    RollingBack,
    create_engine,
)
from core.database.opening import opening_error
from core.database.outage import CONNECT_S, UNHURRIED_S, DatabaseUnavailable, answered_within
from core.database.servers import driver_address
from core.database.writer import Writer
from core.errors import ConfigInvalid
from graph.checkpoints.carrying import Carrying, ForeignSerializer
from graph.db.database import writer_of

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg_pool import AsyncConnectionPool

Saver = Carrying

_SETUP_LOCK = 0x57617973746F
_ASK_AGAIN_SECONDS = 0.05
SETUP_SECONDS = 60.0
_CONNECTION = {"autocommit": True, "prepare_threshold": 0}
# The pool tries again ever more seldom, up to this; behind it each request tries at once.
RECONNECT_SECONDS = 3.0


@asynccontextmanager
async def opened_saver(
    url: URL, writer: Writer | None = None, *, session: Mapping[str, int] | None = None
) -> AsyncIterator[Saver]:
    """The saver of checkpoints for the database at `url`, its tables made or migrated.

    Args:
        writer: The process's one writer to that database; without it the saver has one of its own.
        session: As for `core.database.engine.create_engine`.

    Raises:
        ConfigInvalid: The driver of the database is not installed.
        DatabaseUnavailable: It cannot be opened.
    """
    # Only classes that LangGraph and LangChain ship are read back from a checkpoint.
    serde = ForeignSerializer(allowed_msgpack_modules=None)
    opened = _on_sqlite if url.get_backend_name() == "sqlite" else partial(_on_postgres, session=session)
    async with AsyncExitStack() as stack:
        try:
            if writer is None:
                engine = create_engine(url.set(drivername=DRIVERS[url.get_backend_name()]))
                stack.push_async_callback(engine.dispose)
                writer = writer_of(engine)
            saver = await stack.enter_async_context(opened(url, serde, writer))
        except Exception as error:
            told = opening_error(url, error)
            if told is None:
                raise
            raise told from error
        yield saver


@asynccontextmanager
async def _on_sqlite(url: URL, serde: JsonPlusSerializer, writer: Writer) -> AsyncIterator[Saver]:
    import aiosqlite  # noqa: PLC0415 - each database loads only its own driver

    from graph.checkpoints.remembering import ThreadSqliteSaver  # noqa: PLC0415

    opening = aiosqlite.connect(str(url.database), timeout=BUSY_MS / 1000, factory=RollingBack)
    async with opening as connection:
        saver = ThreadSqliteSaver(connection, writer, serde=serde)
        await saver.setup()
        yield saver


@asynccontextmanager
async def _on_postgres(
    url: URL, serde: JsonPlusSerializer, writer: Writer, *, session: Mapping[str, int] | None = None
) -> AsyncIterator[Saver]:
    try:
        from psycopg.rows import dict_row  # noqa: PLC0415
        from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415

        from core.database.postgres import PatientConnection, options_for  # noqa: PLC0415
        from graph.checkpoints.postgres import ThreadPostgresSaver  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigInvalid(POSTGRES_MISSING) from None
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        driver_address(url),
        connection_class=PatientConnection,
        kwargs={**_CONNECTION, "row_factory": dict_row, **options_for(url, session)},
        min_size=1,
        # One is the writer's.
        max_size=POOL - 1,
        timeout=POOL_WAIT_S,
        reconnect_timeout=RECONNECT_SECONDS,
        # Each connection is looked at before it is used: a saver on a broken one would never recover.
        check=PatientConnection.check,
        open=False,
    )
    async with pool:
        await pool.wait(timeout=CONNECT_S)
        saver = ThreadPostgresSaver(pool, writer, serde=serde)
        try:
            with answered_within(UNHURRIED_S):
                await _set_up(pool, saver)
        except TimeoutError:
            raise DatabaseUnavailable(
                "is being made ready", detail="another process has been preparing the database for a minute"
            ) from None
        yield saver


async def _set_up(pool: AsyncConnectionPool[Any], saver: AsyncPostgresSaver) -> None:
    """Processes that start together make the tables one after the other.

    Each asks for its turn again and again: one that waited inside PostgreSQL
    would hold up the CREATE INDEX CONCURRENTLY of the one whose turn it is.
    """
    async with pool.connection() as connection, asyncio.timeout(SETUP_SECONDS):
        while not await _locked(connection):
            # Behind a pooler a lock may stay with a connection that nobody has any more.
            if await _is_set_up(connection, saver):
                return
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        try:
            if not await _is_set_up(connection, saver):
                await saver.setup()
        finally:
            await connection.execute("SELECT pg_advisory_unlock(%s)", [_SETUP_LOCK])


async def _is_set_up(connection: Any, saver: AsyncPostgresSaver) -> bool:
    """Whether LangGraph's migrations have all been made."""
    found = await connection.execute("SELECT to_regclass('checkpoint_migrations') AS name")
    if (await found.fetchone())["name"] is None:
        return False
    found = await connection.execute("SELECT max(v) AS newest FROM checkpoint_migrations")
    newest = (await found.fetchone())["newest"]
    return newest is not None and int(newest) >= len(saver.MIGRATIONS) - 1


async def _locked(connection: Any) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", [_SETUP_LOCK])
    return bool((await cursor.fetchone())["mine"])
