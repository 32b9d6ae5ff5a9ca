"""The database migrates itself, and refuses what it does not understand."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL, make_url

import graph
from core.access import Principal
from core.database import engine as database_engine
from core.database.engine import METADATA, create_engine, database_url
from core.database.outage import DatabaseUnavailable
from core.errors import ConfigInvalid, Unavailable
from core.settings import Places
from core.settings.platform import StorageSettings
from graph.db import database
from graph.db.database import HEAD, open_database, revision
from graph.db.tables import transcript
from graph.threads.history.search import Search
from waystation.testing.service import free_port

pytestmark = pytest.mark.usefixtures("migrated_anew")

# In the words of its time: the table of today has columns that came later.
OLD_THREAD = """
INSERT INTO threads (id, owner, title, status, turns, created_at, updated_at, tags, dirty)
VALUES (:id, :owner, :title, 'idle', 0, :created_at, :updated_at, '[]', FALSE)
"""


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(graph.__file__).parent / "db" / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_the_migrations_make_exactly_the_tables_that_the_code_uses(database: URL) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"include_name": is_declared})
        return [found for found in compare_metadata(context, METADATA) if "checkpoint" not in str(found)]

    engine = await open_database(database)
    async with engine.connect() as db:
        assert await db.run_sync(differences) == []
    await engine.dispose()


async def test_messages_of_an_older_release_are_found_after_the_migration(database: URL) -> None:
    engine = create_engine(database)

    def before_the_index(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(graph.__file__).parent / "db" / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")

    row = {"thread_id": "t", "message_id": "m", "role": "user", "text": "Ein Liegeplatz", "extra": {}}
    thread = {"id": "t", "owner": "ada", "title": "", "created_at": 1.0, "updated_at": 1.0}
    async with engine.begin() as db:
        await db.run_sync(before_the_index)
        await db.execute(text(OLD_THREAD), thread)
        await db.execute(transcript.insert().values({**row, "created_at": 1.0}))
    await engine.dispose()
    engine = await open_database(database)
    assert [
        hit["message_id"] for hit in await Search(engine).find(Principal("ada"), "liegeplatz", limit=5)
    ] == ["m"]
    await engine.dispose()


def is_declared(name: str | None, _kind: str, _parents: object) -> bool:
    """SQLAlchemy has no words for a full-text index and for partitions: only the migration knows them."""
    return not (name or "").startswith(("transcript_words", "run_events_before", "run_events_default"))


async def test_the_full_text_index_is_there(database: URL) -> None:
    engine = await open_database(database)
    asked = {
        "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'transcript_words'",
        "postgresql": "SELECT 1 FROM pg_indexes WHERE indexname = 'transcript_words'",
    }
    async with engine.connect() as db:
        assert (await db.execute(text(asked[database.get_backend_name()]))).scalar() == 1
    await engine.dispose()


async def test_sqlite_stands_in_wal_mode(tmp_path: Path) -> None:
    engine = await open_database(make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}"))
    async with engine.connect() as db:
        assert (await db.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
    await engine.dispose()


async def test_opening_again_changes_nothing(database: URL) -> None:
    await (await open_database(database)).dispose()
    engine = await open_database(database)
    async with engine.connect() as db:
        assert await db.run_sync(revision) == HEAD
    await engine.dispose()


async def test_several_that_open_an_empty_database_at_once_all_get_it(database: URL) -> None:
    engines = await asyncio.gather(*(open_database(database) for _ in range(4)))
    for engine in engines:
        async with engine.connect() as db:
            assert await db.run_sync(revision) == HEAD
        await engine.dispose()


@pytest.mark.parametrize("migrates", [True, False], ids=["an empty one", "one of this release"])
async def test_a_migration_of_another_process_is_waited_for_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrates: bool
) -> None:
    monkeypatch.setattr(database_engine, "BUSY_MS", 20)
    url = make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}")
    if not migrates:
        await (await open_database(url)).dispose()
    looks: list[str | None] = []
    with closing(sqlite3.connect(tmp_path / "w.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")

        def looked(connection: Connection) -> str | None:
            looks.append(revision(connection))
            if len(looks) == 3:
                other.execute("ROLLBACK")
            return looks[-1]

        monkeypatch.setattr(database, "revision", looked)
        if migrates:
            await (await open_database(url)).dispose()
            assert looks == [None] * len(looks)
        else:
            with pytest.raises(DatabaseUnavailable, match="locked by another program"):
                await open_database(url)
            assert looks == [HEAD]


@pytest.mark.parametrize("apart", [False, True], ids=["in one loop", "in two threads"])
async def test_databases_of_one_process_that_are_opened_at_once_are_each_migrated(
    tmp_path: Path, apart: bool
) -> None:
    async def opened(name: str) -> str | None:
        engine = await open_database(make_url(f"sqlite+aiosqlite:///{tmp_path / name}"))
        async with engine.connect() as db:
            found = await db.run_sync(revision)
        await engine.dispose()
        return found

    def in_a_loop_of_its_own(name: str) -> str | None:
        return asyncio.run(opened(name))

    names = [f"{number}.db" for number in range(3)]
    ways = [asyncio.to_thread(in_a_loop_of_its_own, name) if apart else opened(name) for name in names]
    assert await asyncio.gather(*ways) == [HEAD] * 3


async def test_tables_of_another_program_with_names_of_ours_are_told_and_stay(database: URL) -> None:
    engine = await open_database(database)
    try:
        async with engine.begin() as db:
            # Without it nothing says that they are ours.
            await db.execute(text("DROP TABLE alembic_version"))
            before = await db.run_sync(lambda here: inspect(here).get_table_names())
        with pytest.raises(
            ConfigInvalid, match=r"another program with the names of ours \(api_keys, .*threads"
        ):
            await open_database(database)
        async with engine.begin() as db:
            assert await db.run_sync(lambda here: inspect(here).get_table_names()) == before
    finally:
        await engine.dispose()


async def test_a_database_of_a_newer_release_is_refused(database: URL) -> None:
    engine = await open_database(database)
    async with engine.begin() as db:
        await db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    with pytest.raises(ConfigInvalid, match="newer release"):
        await open_database(database)


def test_a_url_of_another_database_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="mysql"):
        database_url(StorageSettings(url="mysql://x/y"), Places(tmp_path, tmp_path))
    with pytest.raises(ConfigInvalid, match=r"storage\.url"):
        database_url(StorageSettings(url="no url"), Places(tmp_path, tmp_path))


def test_the_database_stands_in_the_home_or_where_the_url_says(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "home")
    assert database_url(StorageSettings(), places).database == str(tmp_path / "home" / "waystation.db")
    assert database_url(StorageSettings(url="sqlite:///x/y.db"), places).database == "x/y.db"


async def test_a_postgresql_that_is_not_there_is_told_without_its_password() -> None:
    nowhere = URL.create("postgresql+psycopg", "ada", "hunter2", "127.0.0.1", free_port(), "w")
    with pytest.raises(Unavailable, match="refuses connections; start it") as caught:
        await open_database(nowhere)
    assert "hunter2" not in str(caught.value)


async def test_a_missing_driver_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What an installation without the extra looks like to an import.
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = database_url(StorageSettings(url="postgresql://127.0.0.1/w"), Places(tmp_path, tmp_path))
    with pytest.raises(ConfigInvalid, match=r"\[postgres\]"):
        await open_database(url)
