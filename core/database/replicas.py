"""Whether processes of one database keep their files in different folders, where nobody finds the others'.

On PostgreSQL each process tells by the name of its connection for signals
which folder it keeps files in; a bucket has no folder, and no name.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import is_sqlite
from core.health import Health, degraded, healthy
from core.settings import Places

PREFIX = "waystation signals"
_FOLDER_ID = "files-id"
_OTHERS = text(
    "SELECT DISTINCT application_name FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE :names AND application_name <> :mine"
)


def folder_name(places: Places) -> str:
    """A name for the home folder, the same for all who share it; made once, in `state/`.

    Where the home cannot be written, nothing is told: other checks say that.
    """
    path = places.home / "state" / _FOLDER_ID
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(8))
        return f"{PREFIX} {path.read_text(encoding='ascii').strip()}"
    return PREFIX


async def replica_health(engine: AsyncEngine, places: Places) -> Health:
    """Degraded while another process of the database keeps its files somewhere else; for a local folder."""
    if is_sqlite(engine):
        return healthy()
    async with engine.connect() as db:
        found = await db.execute(_OTHERS, {"names": f"{PREFIX} %", "mine": folder_name(places)})
        others = len(found.all())
    if not others:
        return healthy()
    return degraded(
        f"{others} other home{'s' if others > 1 else ''} with files of their own share this database: a file "
        "stored here is not found there; set file_storage.backend: s3, or give all one WAYSTATION_HOME",
        others=others,
    )
