"""The health of the database, without which no turn works."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database import BUSY_MS, is_sqlite
from core.health import Health, failed, healthy
from core.outage import STANDBY, DatabaseUnavailable, outages_told
from core.patience import patient
from core.whole import whole

DATABASE = "database"
# Less than a check has: a connection that is dead is found out, and a new one tried, within its deadline.
PATIENCE_S = 0.8


async def database_health(engine: AsyncEngine) -> Health:
    """Failed while it takes no writes: a turn stores its message before anything else."""
    with patient(PATIENCE_S):
        try:
            await (_write(engine) if is_sqlite(engine) else _ask(engine))
        except DatabaseUnavailable as away:
            return failed(f"the database {away.reason}")
    return healthy(kind=engine.dialect.name)


@whole
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


async def _ask(engine: AsyncEngine) -> None:
    async with engine.connect() as db:
        if (await db.execute(text("SHOW transaction_read_only"))).scalar() == "on":
            raise DatabaseUnavailable(STANDBY)
