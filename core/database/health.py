"""The health of the database, without which no turn works."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import BUSY_MS, StoreEngine, is_sqlite
from core.database.outage import STANDBY, DatabaseUnavailable, answered_within, outages_told, uninterrupted
from core.health import Health, failed, healthy

DATABASE = "database"
# Less than a check has: a connection that is dead is found out, and a new one tried, within its deadline.
PATIENCE_S = 0.8
_PUT_BACK = "stop the service before its file is moved or restored, and start it again"


async def database_health(engine: AsyncEngine) -> Health:
    """Failed while it takes no writes: a turn stores its message before anything else."""
    with answered_within(PATIENCE_S):
        try:
            await (_write(engine) if is_sqlite(engine) else _ask(engine))
            _look_at_file(engine)
        except DatabaseUnavailable as away:
            return failed(f"the database {away.reason}")
    return healthy(kind=engine.dialect.name)


@uninterrupted
async def _write(engine: AsyncEngine) -> None:
    """A real write: a lock, a full disk and a read-only file show in nothing less."""
    with outages_told():
        async with engine.connect() as db:
            # A check has less time than a request.
            await db.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS // 2}")
            try:
                await db.execute(text("UPDATE alembic_version SET version_num = version_num"))
                await db.commit()
            finally:
                await db.rollback()
                await db.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")


def _look_at_file(engine: AsyncEngine) -> None:
    """Under a running process a file that was moved or restored goes on, and what it takes then is lost."""
    if not is_sqlite(engine) or not isinstance(engine, StoreEngine):
        return
    try:
        found = Path(str(engine.url.database)).stat()
    except FileNotFoundError:
        raise DatabaseUnavailable(
            f"has lost its file, and writes to one without a name; {_PUT_BACK}"
        ) from None
    file = (found.st_dev, found.st_ino)
    if engine.file not in (None, file):
        raise DatabaseUnavailable(f"has another file now than when it was opened; {_PUT_BACK}")
    engine.file = file


async def _ask(engine: AsyncEngine) -> None:
    async with engine.connect() as db:
        if (await db.execute(text("SHOW transaction_read_only"))).scalar() == "on":
            raise DatabaseUnavailable(STANDBY)
