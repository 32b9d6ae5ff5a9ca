"""The health of SQLite's file: one that is moved or restored under a running process is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from core.database.health import database_health
from core.health import HealthState
from graph.db.database import opened_database


@pytest.mark.parametrize("other", [None, b"", b"another"])
async def test_g2_1_a_database_whose_file_is_gone_or_another_is_failed_until_it_is_back(
    tmp_path: Path, other: bytes | None
) -> None:
    file = tmp_path / "threads.db"
    async with opened_database(make_url(f"sqlite+aiosqlite:///{file}")) as engine:
        assert (await database_health(engine)).state is HealthState.HEALTHY
        away = file.rename(tmp_path / "away.db")
        if other is not None:
            file.write_bytes(other)
        found = await database_health(engine)
        assert found.state is HealthState.FAILED
        assert "its file is moved or restored" in found.reason
        away.replace(file)
        assert (await database_health(engine)).state is HealthState.HEALTHY
