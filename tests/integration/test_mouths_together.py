"""One conversation through every mouth at once: a stream that is cut, and a tool that a person approves.

A further mouth is a row of `tests.kit.mouths.MOUTHS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.settings import Context, Places
from graph.agent import Agent
from server.owner import open_to_owner
from tests.kit.counted_tools import CountedTools
from tests.kit.http import client_of, served
from tests.kit.mouth import Mouth
from tests.kit.mouths import MOUTHS
from waystation.testing.agents import write_config
from waystation.testing.model_server import ModelServer, call, say

GREETING = "Good morning from the harbour, where berth four is free."
SUM = "The sum is 8."


@pytest.fixture
async def agent(
    tmp_path: Path, model_server: ModelServer, storage: dict[str, str]
) -> AsyncIterator[tuple[Agent, CountedTools]]:
    tools = CountedTools(tmp_path / "home")
    # In the environment, so that a command of its own has the same configuration.
    environ = {
        "OPENAI_BASE_URL": model_server.url,
        "OPENAI_API_KEY": "test",
        "WAYSTATION_MCP__BUNDLED": "false",
        "WAYSTATION_STORAGE__URL": storage["url"],
    }
    context = Context(Places(write_config(tmp_path), tmp_path / "home"), environ, {})
    async with Agent.open(context) as agent:
        yield agent, tools


async def said_on(mouth: Mouth, name: str) -> list[tuple[str, str]]:
    """What the thread keeps, without what is said of the mouth."""
    page = (await mouth.http.get(f"/threads/{mouth.thread}/transcript")).json()
    return [(message["role"], message["text"].replace(name, "X")) for message in page["messages"]]


@pytest.mark.always
async def test_the_same_conversation_leaves_the_same_transcript_and_the_same_effects(
    agent: tuple[Agent, CountedTools], model_server: ModelServer
) -> None:
    opened, tools = agent
    for name in MOUTHS:
        model_server.script(say(GREETING, hang_after=2), match=f"{name} greets")
        model_server.script(call("counted_add", {"a": 5, "b": 3}), say(SUM), match=f"{name} adds")
    async with served(opened) as base, open_to_owner(opened, base), client_of(base) as http:
        mouths = {
            name: kind(http, opened, f"of-{number}") for number, (name, kind) in enumerate(MOUTHS.items())
        }

        async def each(act: Any) -> dict[str, Any]:
            found = await asyncio.gather(*(act(name, mouth) for name, mouth in mouths.items()))
            return dict(zip(mouths, found, strict=True))

        await each(lambda name, mouth: mouth.begins(f"{name} greets"))
        model_server.release()
        assert await each(lambda _, mouth: mouth.takes_up()) == dict.fromkeys(mouths, GREETING)
        await each(lambda name, mouth: mouth.asks(f"{name} adds"))
        assert tools.made == []
        assert await each(lambda _, mouth: mouth.approves()) == dict.fromkeys(mouths, SUM)
        assert tools.made == ["add 5 3"] * len(mouths)
        said = await each(lambda name, mouth: said_on(mouth, name))
    first = said["/agent"]
    assert [role for role, _ in first] == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    assert [text for _, text in first][::5] == ["X greets", SUM]
    assert said == dict.fromkeys(mouths, first)
