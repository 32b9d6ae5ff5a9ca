"""The database migrates itself, and refuses what it does not understand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import graph
from core.errors import ConfigInvalid
from core.settings import Places
from core.settings.platform import StorageSettings
from graph.database import HEAD, database_path, open_database, revision
from graph.tables import metadata


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(graph.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_the_migrations_make_exactly_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    engine = await open_database(tmp_path / "w.db")
    async with engine.connect() as db:
        assert await db.run_sync(differences) == []
        assert (await db.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
    await engine.dispose()


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    await (await open_database(tmp_path / "w.db")).dispose()
    engine = await open_database(tmp_path / "w.db")
    async with engine.connect() as db:
        assert await db.run_sync(revision) == HEAD
    await engine.dispose()


async def test_several_that_open_an_empty_database_at_once_all_get_it(tmp_path: Path) -> None:
    engines = await asyncio.gather(*(open_database(tmp_path / "w.db") for _ in range(4)))
    for engine in engines:
        async with engine.connect() as db:
            assert await db.run_sync(revision) == HEAD
        await engine.dispose()


async def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    engine = await open_database(tmp_path / "w.db")
    async with engine.begin() as db:
        await db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    with pytest.raises(ConfigInvalid, match="newer release"):
        await open_database(tmp_path / "w.db")


def test_a_url_of_another_database_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="postgresql"):
        database_path(StorageSettings(url="postgresql://x/y"), Places(tmp_path, tmp_path))


def test_the_database_stands_in_the_home_or_where_the_url_says(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "home")
    assert database_path(StorageSettings(), places) == tmp_path / "home" / "waystation.db"
    assert database_path(StorageSettings(url="sqlite:///x/y.db"), places) == Path("x/y.db")
