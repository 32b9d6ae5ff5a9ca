"""The database of a service: one engine, migrated at start."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from core.errors import ConfigInvalid
from core.settings import Places
from core.settings.platform import StorageSettings

HEAD = "0001"
BUSY_MS = 15_000
_SCHEME = "sqlite:///"


def database_path(settings: StorageSettings, places: Places) -> Path:
    """The SQLite file of `storage.url`.

    Raises:
        ConfigInvalid: The URL is not one of SQLite.
    """
    if not settings.url:
        return places.home / "waystation.db"
    if not settings.url.startswith(_SCHEME):
        scheme = settings.url.split(":", 1)[0]
        raise ConfigInvalid(f"storage.url: '{scheme}' is not supported in this release; use sqlite:///PATH")
    return Path(settings.url.removeprefix(_SCHEME))


async def open_database(path: Path) -> AsyncEngine:
    """An engine on the file, in WAL mode and at the newest revision; close it with `dispose()`.

    Raises:
        ConfigInvalid: The database was written by a newer release.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    event.listen(engine.sync_engine, "connect", _prepare)
    try:
        async with engine.begin() as connection:
            # Workers that start together take turns here; the second finds the work done.
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            await connection.run_sync(_migrate)
    except BaseException:
        await engine.dispose()
        raise
    return engine


def _prepare(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection; SQLAlchemy types it as Any
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _migrate(connection: Connection) -> None:
    if revision(connection) == HEAD:
        return
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


def revision(connection: Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
