"""Tests that ask for `database` run on each database that `storage.url` may name."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from core.settings import Places
from tests.unit.core.signals.parts import sqlite


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The folders of a service; processes that share them find each other."""
    return Places(tmp_path / "config", tmp_path / "home")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, places: Places) -> URL:
    """A new, empty database."""
    if request.param == "sqlite":
        return sqlite(places)
    url: URL = request.getfixturevalue("postgres_url")
    return url
