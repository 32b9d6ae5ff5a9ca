"""The database of another release, opened so that nothing in it can change: its threads and checkpoints."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
import ormsgpack
from langgraph.checkpoint.serde.jsonplus import (
    EXT_CONSTRUCTOR_KW_ARGS,
    EXT_CONSTRUCTOR_POS_ARGS,
    EXT_CONSTRUCTOR_SINGLE_ARG,
    EXT_METHOD_SINGLE_ARG,
    EXT_PYDANTIC_V1,
    EXT_PYDANTIC_V2,
    JsonPlusSerializer,
)
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from sqlalchemy import URL, Column, MetaData, Table, case, func, inspect, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine

from core.database.engine import BUSY_MS, POSTGRES_MISSING
from core.database.opening import opening_error
from core.database.servers import WANTED, driver_address
from core.errors import ConfigInvalid, Unavailable
from graph.checkpoints.carrying import Carrying
from graph.db.database import revision

# A run in one of these is not over; its thread is what a deploy would hit first.
LIVE = ("running", "queued", "interrupted")
# What begins with the module and the name of a class.
_OBJECTS = frozenset(
    {
        EXT_CONSTRUCTOR_SINGLE_ARG,
        EXT_CONSTRUCTOR_POS_ARGS,
        EXT_CONSTRUCTOR_KW_ARGS,
        EXT_METHOD_SINGLE_ARG,
        EXT_PYDANTIC_V1,
        EXT_PYDANTIC_V2,
    }
)
_READ_ONLY = "-c default_transaction_read_only=on"


@dataclass(frozen=True, slots=True)
class ThreadAsLeft:
    """A thread as its release left it; `status` is running, queued, interrupted, failed or idle."""

    thread_id: str
    status: str


class ReadingSqlite(Carrying, AsyncSqliteSaver):
    """Sets nothing up."""

    async def setup(self) -> None:
        """The tables are as the other release made them."""
        async with self.conn.execute("PRAGMA table_info(writes)") as found:
            self._has_task_path = any(row[1] == "task_path" for row in await found.fetchall())


class StrictSerializer(JsonPlusSerializer):
    """Reads as the service does, and tells of every object that does not come back as what it was.

    LangGraph itself goes on with the object's bare fields where its class is
    gone or not allowed, and nobody hears of it.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._plain = JsonPlusSerializer(allowed_msgpack_modules=None)
        super().__init__(__unpack_ext_hook__=self._watched)

    def _watched(self, code: int, data: bytes) -> Any:
        value = self._plain._unpack_ext_hook(code, data)
        # Unpacked a second time through this hook, so that what is inside is looked at too.
        inside = ormsgpack.unpackb(data, ext_hook=self._watched, option=ormsgpack.OPT_NON_STR_KEYS)
        problem = _problem(inside[0], inside[1], value) if code in _OBJECTS else ""
        if problem:
            self._told(problem)
        return value


def _problem(module: str, name: str, value: Any) -> str:
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return f"{module}.{name} is not there any more"
    if isinstance(kind, type) and not isinstance(value, kind):
        return f"{module}.{name} is not made of what is stored, or not allowed in a checkpoint"
    return ""


@asynccontextmanager
async def reading(url: URL) -> AsyncIterator[tuple[AsyncEngine, Any]]:
    """An engine and a saver on the database, which refuses every write.

    Raises:
        Unavailable: There is no such database, or it does not answer.
        ConfigInvalid: Its driver is not installed.
    """
    opened = _sqlite if url.get_backend_name() == "sqlite" else _postgres
    async with opened(url) as found:
        yield found


@asynccontextmanager
async def _sqlite(url: URL) -> AsyncIterator[tuple[AsyncEngine, Any]]:
    address = _address(str(url.database))

    def connect() -> aiosqlite.Connection:
        return aiosqlite.connect(address, uri=True, timeout=BUSY_MS / 1000)

    engine = create_async_engine("sqlite+aiosqlite://", async_creator=connect)
    try:
        async with connect() as connection:
            saver = ReadingSqlite(connection)
            await saver.setup()
            yield engine, saver
    finally:
        await engine.dispose()


def _address(name: str) -> str:
    path = Path(name).absolute()
    if not path.is_file():
        raise Unavailable(f"there is no database yet: {path.name} is not in its folder")
    return f"{path.as_uri()}?mode=ro"


@asynccontextmanager
async def _postgres(url: URL) -> AsyncIterator[tuple[AsyncEngine, Any]]:
    try:
        import psycopg  # noqa: PLC0415 - each database loads only its own driver
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver  # noqa: PLC0415
        from psycopg.rows import dict_row  # noqa: PLC0415

        from core.database.postgres import PatientConnection, options_for  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigInvalid(POSTGRES_MISSING) from None

    class ReadingPostgres(Carrying, AsyncPostgresSaver):
        """Sets nothing up."""

    plain = driver_address(url)
    # A session that only reads would not pass for one on a server that takes writes.
    primary = {WANTED: "primary"} if WANTED in url.query else {}
    options = {**options_for(url), **primary, "options": _READ_ONLY}
    engine = create_async_engine(url, connect_args={**options, "async_creator_fn": PatientConnection.connect})
    try:
        connection = await PatientConnection.connect(plain, autocommit=True, row_factory=dict_row, **options)
    except psycopg.Error as error:
        await engine.dispose()
        raise opening_error(url, error) or error from error
    try:
        async with connection:
            yield engine, ReadingPostgres(connection)
    finally:
        await engine.dispose()


async def revision_of(engine: AsyncEngine) -> str | None:
    """The revision that the database is at; None where it has none.

    Raises:
        Unavailable: It cannot be read.
    """
    try:
        async with engine.connect() as db:
            return await db.run_sync(revision)
    except DBAPIError as error:
        raise opening_error(engine.url, error) or error from error


async def tables_of(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as db:
        return await db.run_sync(lambda sync: set(inspect(sync).get_table_names()))


async def threads_as_left(engine: AsyncEngine, *, idle: int | None) -> tuple[list[ThreadAsLeft], int]:
    """Every thread that is not done, and the `idle` last used others (None: all); how many those left out.

    Only columns that each release has had are asked for: the database may be an older one's.
    """
    async with engine.connect() as db:
        names = await db.run_sync(lambda sync: set(inspect(sync).get_table_names()))
        if "threads" not in names:
            return [], 0
        runs = await _unfinished(db) if "runs" in names else {}
        return await _threads(db, runs, idle=idle)


async def _threads(
    db: AsyncConnection, runs: dict[str, str], *, idle: int | None
) -> tuple[list[ThreadAsLeft], int]:
    status = case((_THREADS.c.run_id.is_not(None), "running"), else_=_THREADS.c.status).label("status")
    live = or_(
        _THREADS.c.run_id.is_not(None), _THREADS.c.status.in_(LIVE), _THREADS.c.id.in_(_RUNNING_THREADS)
    )
    if not runs:
        live = or_(_THREADS.c.run_id.is_not(None), _THREADS.c.status.in_(LIVE))
    columns = select(_THREADS.c.id, status).order_by(_THREADS.c.updated_at.desc(), _THREADS.c.id)
    found = [
        ThreadAsLeft(row.id, runs.get(row.id, row.status)) for row in await db.execute(columns.where(live))
    ]
    rest = columns.where(~live)
    total = await db.scalar(select(func.count()).select_from(rest.subquery())) or 0
    if idle is not None:
        rest = rest.limit(idle)
    others = [ThreadAsLeft(row.id, row.status) for row in await db.execute(rest)]
    return found + others, total - len(others)


async def _unfinished(db: AsyncConnection) -> dict[str, str]:
    """By thread the status of its run that is not over; one that runs before one that waits."""
    query = select(_RUNS.c.thread_id, _RUNS.c.status).where(_RUNS.c.status.in_(LIVE))
    found: dict[str, str] = {}
    for row in await db.execute(query):
        found[row.thread_id] = min(found.get(row.thread_id, row.status), row.status, key=LIVE.index)
    return found


def _columns(name: str, columns: Sequence[str]) -> Table:
    return Table(name, MetaData(), *(Column(column) for column in columns))


_THREADS = _columns("threads", ("id", "status", "run_id", "updated_at"))
_RUNS = _columns("runs", ("thread_id", "status"))
_RUNNING_THREADS = select(_RUNS.c.thread_id).where(_RUNS.c.status.in_(LIVE))
