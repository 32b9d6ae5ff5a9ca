"""A database that was copied is one that was migrated."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from graph.checkpoints.saver import opened_saver
from graph.db.database import HEAD, opened_database
from tests.kit.migrated_file import Migrated


async def opened(path: Path) -> Path:
    """A database of ours there, closed again."""
    url = URL.create("sqlite+aiosqlite", database=str(path))
    async with opened_database(url), opened_saver(url):
        pass
    return path


def told(path: Path) -> dict[str, Any]:
    """All that stands in it, and how the file is."""
    with closing(sqlite3.connect(path)) as file:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            "schema": set(file.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")),
            "rows": {name: file.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables},  # noqa: S608
            "journal": file.execute("PRAGMA journal_mode").fetchone(),
            "mode": path.stat().st_mode,
        }


async def test_a_copy_is_what_a_migration_makes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    copied = told(await opened(tmp_path / "copied.db"))
    request.getfixturevalue("migrated_anew")
    assert copied == told(await opened(tmp_path / "anew.db"))


async def test_it_is_a_copy_and_no_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened(tmp_path / "first.db")

    def none(*_: object) -> None:
        raise AssertionError("it migrates")

    monkeypatch.setattr("alembic.command.upgrade", none)
    await opened(tmp_path / "second.db")


async def test_several_that_open_one_at_once_share_it(tmp_path: Path) -> None:
    await asyncio.gather(*(opened(tmp_path / "w.db") for _ in range(8)))
    assert (HEAD,) in told(tmp_path / "w.db")["rows"]["alembic_version"]


def test_what_stands_in_a_file_stays(tmp_path: Path, migrated: Migrated) -> None:
    file = tmp_path / "w.db"
    file.write_bytes(b"something else")
    looked: list[str] = []
    migrated.looking(looked.append)(str(file))
    migrated.looking(looked.append)(str(tmp_path / "none.db"))
    assert looked == [str(file), str(tmp_path / "none.db")]
    assert file.read_bytes() == b"something else"
    assert not (tmp_path / "none.db").exists()
