"""Tests that ask for `database` run on each database that `storage.url` may name."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """A new database, as far as it needs one: migrated already on PostgreSQL."""
    if request.param == "sqlite":
        return make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}")
    url: URL = request.getfixturevalue("postgres_url")
    return url
