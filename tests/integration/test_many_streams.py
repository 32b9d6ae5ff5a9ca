"""Hundreds of streams at once, end to end: clients, `waystation serve` as it comes, and a slow model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.kit.many_streams import loaded
from waystation.testing.model_server import ModelServer
from waystation.testing.service import Service

pytestmark = pytest.mark.slow

STREAMS = 512
# As slowly as a large model speaks when it has much to do: the streams are all open at the same time.
EVERY_S = 0.8
ANSWER = " ".join(f"word-{number}" for number in range(8))
MOST_MB = 80


@pytest.mark.timeout(300)
def test_512_streams_that_open_at_once_are_all_answered_whole_in_little_memory(tmp_path: Path) -> None:
    with ModelServer(default=ANSWER) as model:
        model.configure(delay=EVERY_S)
        env = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
        with Service(tmp_path / "home", env=env) as service:
            # What a first turn loads is no cost of the streams.
            assert asyncio.run(loaded(service, 8, ANSWER)).whole == 8
            load = asyncio.run(loaded(service, STREAMS, ANSWER))
    assert load.odd == []
    assert load.whole == STREAMS
    assert load.memory_mb < MOST_MB
