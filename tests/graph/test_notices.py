"""What caches did, told among the events of a run where the settings ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graph import Agent
from waystation.testing.agents import context_at, write_config
from waystation.testing.rag_server import RagServer

SOURCES = "wiki:\n  type: http\n  url: {url}\n"


@pytest.fixture(scope="module")
def wiki() -> Iterator[RagServer]:
    with RagServer() as server:
        yield server


async def notices(folder: Path, wiki: RagServer, *, debug: bool) -> list[list[str]]:
    """The cache's notices of two equal turns, and of one by another user."""
    write_config(folder, sources=False, files={"sources.yaml": SOURCES.format(url=wiki.url)})
    context = context_at(folder, telemetry={"debug_events": debug}, mcp={"bundled": False})
    found = []
    async with Agent.open(context) as agent:
        for user in ("ada", "ada", "bob"):
            stream = agent.stream("How many days of leave are there?", user=user)
            events = [event async for event in stream]
            told = [e["detail"] for e in events if e["type"] == "notice" and e["code"] == "cache_status"]
            found.append([text for text in told if text.startswith("retrieval")])
    return found


async def test_a_run_tells_what_the_cache_had_and_nobody_gets_anothers_answer(
    tmp_path: Path, wiki: RagServer
) -> None:
    first, second, others = await notices(tmp_path, wiki, debug=True)
    assert "miss" in first[0]
    assert "hit" in second[0]
    assert "miss" in others[0]


async def test_without_the_setting_a_run_tells_nothing_of_caches(tmp_path: Path, wiki: RagServer) -> None:
    assert await notices(tmp_path, wiki, debug=False) == [[], [], []]
