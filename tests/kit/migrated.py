"""New SQLite files are copies of one that was migrated once: a migration takes a tenth of a second.

A test that is about the migration itself asks for the fixture `migrated_anew`. On PostgreSQL, a database is a
copy as well, see `waystation.testing.postgres`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.kit.migrated_file import LOOK, Look, Migrated


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """What new SQLite databases are copies of."""
    return Migrated(tmp_path_factory.mktemp("migrated"))


@pytest.fixture(scope="session", autouse=True)
def _databases_are_copies(migrated: Migrated) -> Iterator[Look | None]:
    # Where no test has to do with a database, none waits for its imports.
    if "graph" not in sys.modules:
        yield None
        return
    from graph.db import database

    look: Look = getattr(database, LOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, LOOK, migrated.looking(look))
        yield look


@pytest.fixture
def migrated_anew(monkeypatch: pytest.MonkeyPatch, _databases_are_copies: Look) -> None:
    """In the test, databases of this process are migrated as they are for everybody."""
    monkeypatch.setattr(f"graph.db.database.{LOOK}", _databases_are_copies)
