"""The database of a service is brought to the newest revision when it is opened."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Column, Connection, RowMapping, Table, bindparam, inspect, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import BUSY_MS, METADATA, StoreEngine, create_engine, is_sqlite
from core.database.groups import Fencing, SqliteGroup
from core.database.opening import opening_error
from core.database.outage import CONNECT_S, UNHURRIED_S, DatabaseUnavailable, answered_within
from core.database.writer import Group, Writer
from core.errors import ConfigInvalid
from core.events.tables import webhook_deliveries
from core.identity.tables import api_keys
from core.task_queue.tables import tasks
from graph.db.tables import (
    folded_tags,
    folded_title,
    indexed,
    items,
    plans,
    receipts,
    run_events,
    runs,
    shared_files,
    threads,
    transcript,
    workers,
)

HEAD = "0011"
# Stands in the place of the revision while a copy into the database goes on: no service starts on it.
COPYING = "copying"
# So long the migration of another process is waited for on SQLite, which may be of a large file.
MIGRATED_S = 120.0
# Named, so that the metadata is whole wherever a database is opened.
TABLES = (
    threads,
    transcript,
    workers,
    runs,
    run_events,
    receipts,
    plans,
    items,
    shared_files,
    tasks,
    api_keys,
    webhook_deliveries,
)
# On PostgreSQL a fence is shared: readers and other checks go on, whoever takes a thread over waits for the
# group. In order, so that no two groups wait crosswise.
_FENCING = {
    "sqlite": Fencing(
        held="SELECT 1 FROM threads WHERE id = ? AND fence = ?",
        count_held="SELECT count(*) FROM json_each(?) AS wanted JOIN threads"
        " ON threads.id = json_extract(wanted.value, '$[0]') AND fence = json_extract(wanted.value, '$[1]')",
    ),
    "postgresql": Fencing(
        held="SELECT id, fence FROM threads WHERE id = ANY(%s) ORDER BY id FOR SHARE",
        all_held="SELECT 1 / (count(*) = %s)::int FROM (SELECT 1 FROM threads"
        " JOIN unnest(%s::text[], %s::int[]) AS wanted (id, fence) USING (id, fence)"
        " ORDER BY id FOR SHARE OF threads) AS held",
    ),
}
_MIGRATION_LOCK = 0x5761797374
_MIGRATING = threading.Lock()
_ASK_AGAIN_S = 0.02


def writer_of(engine: AsyncEngine) -> Writer:
    """The one writer of this process to the engine's database; it is closed with the engine."""
    assert isinstance(engine, StoreEngine), "a database that this service opened"  # noqa: S101 - an invariant
    if engine.writer is None:
        engine.writer = Writer(_group(engine, _FENCING[engine.dialect.name]))
    return engine.writer


def _group(engine: StoreEngine, fencing: Fencing) -> Group:
    if is_sqlite(engine):
        return SqliteGroup(engine, fencing)
    # Loaded only where it is the database.
    from core.database.postgres_group import PostgresGroup  # noqa: PLC0415

    return PostgresGroup(engine, fencing)


async def open_database(url: URL, *, session: Mapping[str, int] | None = None) -> AsyncEngine:
    """An engine on the database at the newest revision; close it with `dispose()`.

    Args:
        session: As for `create_engine`.

    Raises:
        ConfigInvalid: The database was written by a newer release, or its driver is not installed.
        DatabaseUnavailable: It cannot be opened; the sentence is for whoever runs the service.
    """
    engine = create_engine(url, session=session)
    try:
        await _made_ready(engine)
    except BaseException as error:
        await engine.dispose()
        told = opening_error(url, error)
        if told is None:
            raise
        raise told from error
    return engine


async def _made_ready(engine: AsyncEngine) -> None:
    if is_sqlite(engine):
        await asyncio.to_thread(_look_at, str(engine.url.database))
        await _write_ahead(engine)
    else:
        # A server that does not answer is told at once; a migration may take its time.
        with answered_within(CONNECT_S):
            async with engine.connect():
                pass
    with answered_within(UNHURRIED_S):
        async with engine.begin() as connection:
            await _take_turns(connection)
            async with _alone_in_process():
                await connection.run_sync(_migrate)
        await refold(engine)


@asynccontextmanager
async def opened_database(
    url: URL, *, session: Mapping[str, int] | None = None
) -> AsyncIterator[AsyncEngine]:
    """`open_database`, disposed of at the end."""
    engine = await open_database(url, session=session)
    try:
        yield engine
    finally:
        await engine.dispose()


def _look_at(path: str) -> None:
    """Raises sqlite3.Error where there can be no database: here, and not in a thread of the driver's own."""
    with closing(sqlite3.connect(path, timeout=BUSY_MS / 1000)) as file:
        file.execute("PRAGMA schema_version")


async def _write_ahead(engine: AsyncEngine) -> None:
    """Switch the file to WAL, where it stays. Of several that do so at once, SQLite refuses some at once."""
    until = time.monotonic() + BUSY_MS / 2000
    while True:
        try:
            async with engine.connect() as connection:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except DatabaseUnavailable as error:
            if "locked" not in error.reason or time.monotonic() > until:
                raise
            await asyncio.sleep(_ASK_AGAIN_S)
        else:
            return


async def _take_turns(connection: AsyncConnection) -> None:
    """Processes that start together migrate one after the other; the second finds the work done."""
    if not is_sqlite(connection):
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        return
    until = time.monotonic() + MIGRATED_S
    while True:
        # Whoever holds a database of this release does not migrate it.
        patient = time.monotonic() < until and await connection.run_sync(revision) != HEAD
        try:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        except DatabaseUnavailable as error:
            if not patient or "locked" not in error.reason:
                raise
        else:
            return


@asynccontextmanager
async def _alone_in_process() -> AsyncIterator[None]:
    """Alembic has one context in a process: of two databases it would mix up one's tables with the other's.

    Whoever comes here has the database: no two wait crosswise, be they of one event loop or of two threads.
    """
    while not _MIGRATING.acquire(blocking=False):  # noqa: ASYNC110 - it may be held in another loop
        await asyncio.sleep(_ASK_AGAIN_S)
    try:
        yield
    finally:
        _MIGRATING.release()


def _migrate(connection: Connection) -> None:
    found = revision(connection)
    if found == HEAD:
        return
    if found == COPYING:
        raise ConfigInvalid(
            "a copy into the database has not ended: finish it with the same `waystation db copy`, or name"
            " another database in storage.url"
        )
    if found is None:
        _check_foreign(connection)
    # Alembic takes a third of a second to import: only where there is something to do.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigInvalid(
            "the database was written by a newer release of Waystation; install that release"
        ) from error


def _check_foreign(connection: Connection) -> None:
    """Raises ConfigInvalid where somebody else's tables have the names of ours; theirs stay as they are."""
    taken = sorted(METADATA.tables.keys() & set(inspect(connection).get_table_names()))
    if taken:
        raise ConfigInvalid(
            f"the database has tables of another program with the names of ours ({', '.join(taken)}): name an"
            " empty database, or a schema of its own"
        )


def revision(connection: Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


BATCH = 200

_log = structlog.get_logger(__name__)


async def refold(engine: AsyncEngine) -> None:
    """Make what is missing, `BATCH` rows in a transaction: what one start leaves, the next goes on with."""
    done = await _all(engine, transcript, transcript.c.seq, transcript.c.words, _of_message)
    done += await _all(engine, threads, threads.c.id, threads.c.title_folded, _of_thread)
    if done:
        _log.info("words_folded", rows=done)


def _of_message(row: RowMapping) -> dict[str, str]:
    return {"words": indexed(row["text"])}


def _of_thread(row: RowMapping) -> dict[str, str]:
    return {"title_folded": folded_title(row["title"]), "tags_folded": folded_tags(row["tags"] or ())}


async def _all(
    engine: AsyncEngine,
    table: Table,
    key: Column[Any],
    missing: Column[Any],
    made: Callable[[RowMapping], Mapping[str, str]],
) -> int:
    done = 0
    while True:
        # Not `begin` for both: reading first and writing then is what SQLite refuses when another writes.
        async with engine.connect() as db:
            rows = (await db.execute(select(table).where(missing.is_(None)).limit(BATCH))).mappings().all()
        if not rows:
            return done
        changes = [{"_key": row[key.name], **made(row)} for row in rows]
        values: dict[str, Any] = {name: bindparam(name) for name in changes[0] if name != "_key"}
        async with engine.begin() as db:
            await db.execute(update(table).where(key == bindparam("_key")).values(values), changes)
        done += len(rows)
