"""An issuer, and a database with the tables of this release."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from graph.db.database import opened_database
from tests.kit.oidc_server import OidcServer


@pytest.fixture
async def issuer() -> AsyncIterator[OidcServer]:
    async with OidcServer() as server:
        yield server


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    url = URL.create("sqlite+aiosqlite", database=str(tmp_path / "keys.db"))
    async with opened_database(url) as engine:
        yield engine
