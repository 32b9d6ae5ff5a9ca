"""kill -9 at every named point of a turn: nothing is lost, nothing stands twice, every thread answers.

A sample of `python -m tests.campaigns.kills`, which says what is looked at after each kill.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.campaigns.kills import RANDOM, Campaign
from tests.campaigns.model import RuleServer
from tests.campaigns.traps import AT_REPAIR, LATE, NAMED
from tests.campaigns.victims import Site, nursery, plain

CLIENTS = 3
ON_POSTGRES = ("in the model stream", "after the tool's write")


@pytest.fixture(scope="module")
def parent() -> Iterator[subprocess.Popen[str]]:
    with nursery() as process:
        yield process


@pytest.fixture(scope="module")
def model() -> Iterator[RuleServer]:
    with RuleServer(strict=True) as server:
        yield server


@asynccontextmanager
async def opened(
    parent: subprocess.Popen[str], folder: Path, model: RuleServer, storage: str = ""
) -> AsyncIterator[Campaign]:
    campaign = Campaign(parent, Site(folder, model.url, storage), model, seed=1, clients=CLIENTS)
    try:
        yield campaign
    finally:
        for client in campaign.clients:
            await client.aclose()
        if campaign.victim.alive:
            campaign.victim.kill()


@pytest.fixture(scope="module")
async def campaign(
    parent: subprocess.Popen[str], model: RuleServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Campaign]:
    """One service for all points: what a kill breaks, the tests behind it see too."""
    async with opened(parent, tmp_path_factory.mktemp("kills"), model) as campaign:
        yield campaign


@pytest.mark.parametrize("place", [*NAMED, AT_REPAIR, LATE, RANDOM])
@pytest.mark.always(cases=4)
async def test_a_service_killed_there_has_lost_and_doubled_nothing(campaign: Campaign, place: str) -> None:
    assert await campaign.round(place) == []
    assert campaign.kills[place], f"nobody came to it: {campaign.table()}"


async def test_a_service_that_was_killed_often_still_stops_when_it_is_told_to(campaign: Campaign) -> None:
    await campaign.round(RANDOM)
    await campaign.close()
    assert campaign.found == []


async def test_on_postgresql_too(
    parent: subprocess.Popen[str], model: RuleServer, tmp_path: Path, postgres_url: URL
) -> None:
    async with opened(parent, tmp_path, model, plain(postgres_url)) as campaign:
        for place in ON_POSTGRES:
            assert await campaign.round(place) == [], place
        await campaign.close()
        assert campaign.found == []
