"""Outages under load: nothing is lost or doubled, and every thread takes the next message.

A sample of `python -m tests.campaigns.outages`, which says what is looked at after each.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaigns.model import RuleServer
from tests.campaigns.outages import KINDS, Outages
from tests.campaigns.victims import Site, nursery, plain
from waystation.testing.postgres import PostgresServer

LONGEST_SECONDS = 1.5


@pytest.fixture(scope="module")
def parent() -> Iterator[subprocess.Popen[str]]:
    with nursery() as process:
        yield process


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_st6_outages_under_load_lose_and_double_nothing(
    database: str, parent: subprocess.Popen[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: PostgresServer | None = None
    if database == "postgres":
        server = request.getfixturevalue("postgres_server")
    storage = plain(server.create_database()) if server else ""
    with RuleServer(strict=True) as model:
        run = Outages(parent, Site(tmp_path, model.url, storage), model, server=server, seed=1, clients=3)
        try:
            for kind in KINDS[database]:
                assert await run.round(kind, longest=LONGEST_SECONDS) == [], kind
        finally:
            await run.close()
