"""MCP over lines: a message each, for one client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from graph.agent import Agent
from server.protocols.mcp.exchange import HANDSHAKE, VERSION_KEY
from server.protocols.mcp.lines import LINE_BYTES, Conversation
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing import Fakes, ScriptedModel, open_agent

ADA = Principal("ada")
CLIENT: dict[str, Any] = {
    "protocolVersion": HANDSHAKE[0],
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path, providers=[Fakes(model=ScriptedModel("Hi"))]) as agent:
        yield agent


class Client:
    """What is written to us, and what comes back."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def write(self, message: bytes) -> None:
        await self._heard.put(json.loads(message))

    async def lines(self) -> AsyncIterator[bytes]:
        while line := await self._lines.get():
            yield line

    async def says(self, line: bytes) -> None:
        await self._lines.put(line)

    async def asks(self, method: str, key: int | None = 1, **params: Any) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        await self.says(json.dumps(message if key is None else {**message, "id": key}).encode() + b"\n")

    async def hears(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._heard.get(), A_BUSY_MACHINE_S)

    async def ends(self) -> None:
        await self.says(b"")


@pytest.fixture
async def client(agent: Agent) -> AsyncIterator[Client]:
    client = Client()
    conversation = await Conversation.of(agent, ADA, client.write, gateway=False)
    held = asyncio.create_task(conversation.hold(client.lines()))
    yield client
    await client.ends()
    await held


async def test_a_client_shakes_hands_lists_the_tools_and_asks(client: Client) -> None:
    await client.asks("initialize", **CLIENT)
    told = await client.hears()
    assert (told["id"], told["result"]["protocolVersion"]) == (1, HANDSHAKE[0])
    await client.asks("notifications/initialized", key=None)
    await client.says(b"\n")  # an empty line is nobody's
    await client.asks("tools/list", key=2)
    listed = await client.hears()
    assert listed["id"] == 2
    name = next(tool["name"] for tool in listed["result"]["tools"] if "message" in json.dumps(tool))
    await client.asks("tools/call", key=3, name=name, arguments={"message": "Hello"})
    answered = await client.hears()
    while "method" in answered:
        answered = await client.hears()
    assert (answered["id"], answered["result"]["content"][0]["text"]) == (3, "Hi")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (lambda: b"{\n", -32700),
        (lambda: b"[" * 100 + b"]" * 100, -32700),
        (lambda: b'"' + b"a" * LINE_BYTES + b'"', -32600),
        (lambda: b'{"jsonrpc": "2.0"}', -32600),
    ],
    ids=["cut", "deep", "long", "no message"],
)
async def test_a_line_that_is_no_message_is_told_so_and_the_next_is_answered(
    client: Client, line: Callable[[], bytes], code: int
) -> None:
    await client.says(line())
    assert (await client.hears())["error"]["code"] == code
    await client.asks("ping")
    assert (await client.hears())["result"] == {}


async def test_versions_that_are_not_spoken_are_told_with_those_that_are(client: Client) -> None:
    await client.asks("tools/list", _meta={VERSION_KEY: "1999-01-01"})
    refused = (await client.hears())["error"]
    assert refused["data"]["requested"] == "1999-01-01"
    assert HANDSHAKE[0] in refused["data"]["supported"]
    await client.asks("initialize", key=2, protocolVersion=7)
    assert (await client.hears())["id"] == 2
