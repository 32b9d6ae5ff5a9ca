"""Messages sent at once to one thread, through two replicas: stored in some order, or refused.

A sample of `python -m tests.campaigns.sends`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.sends import Sends, replicas
from tests.campaigns.victims import plain

TIMES = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else plain(request.getfixturevalue("postgres_url"))


async def test_ten_messages_at_once_are_each_stored_or_refused(storage: str, tmp_path: Path) -> None:
    async with replicas(tmp_path, storage) as agents:
        sends = Sends(agents, seed=1)
        for number in range(TIMES):
            assert await sends.round(number) == []
    assert sends.counts["refused"]
    assert sends.counts["done"] > TIMES
