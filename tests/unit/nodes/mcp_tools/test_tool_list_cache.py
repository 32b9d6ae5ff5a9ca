"""Lists of tools from before: offered while a server starts, and never believed over the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.cache import Cache, CacheSettings
from nodes.mcp_tools.fake import FakeConnector
from nodes.mcp_tools.models import ServerState, ToolInfo
from nodes.mcp_tools.settings import ServerEntry
from tests.unit.nodes.mcp_tools.fakes import ADA, Desk, GatedConnector, desk, echo, server
from waystation.testing.mcp_servers import until

PEER = {"peer": ServerEntry()}


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    async with Cache(CacheSettings()) as cache:
        yield cache


async def offered(at: Desk) -> list[str]:
    schemas = await at.manager.schemas(ADA.principal, ["peer"])
    return [schema["function"]["name"] for schema in schemas]


async def known_to(cache: Cache, *names: str) -> None:
    """Let the cache know a server with these tools, as an earlier process has seen it."""
    async with desk(FakeConnector({"peer": server(*names)}), PEER, cache=cache) as at:
        await offered(at)


async def test_tools_from_before_are_offered_while_the_server_starts_and_a_call_waits(cache: Cache) -> None:
    await known_to(cache, "echo")
    connector = GatedConnector({"peer": server("echo")})
    async with desk(connector, PEER, cache=cache) as at:
        assert await offered(at) == ["peer_echo"]
        assert at.manager.status()["peer"].state is ServerState.STARTING
        call = asyncio.create_task(at.run("peer_echo", text="in the end"))
        await asyncio.wait({call}, timeout=0.05)
        assert not call.done()
        connector.gate.set()
        assert (await call).text == "in the end"


async def test_without_a_list_from_before_the_first_turn_waits_for_the_server(cache: Cache) -> None:
    connector = GatedConnector({"peer": server("echo")})
    async with desk(connector, PEER, cache=cache) as at:
        asking = asyncio.create_task(offered(at))
        await asyncio.wait({asking}, timeout=0.05)
        assert not asking.done()
        connector.gate.set()
        assert await asking == ["peer_echo"]


async def test_a_tool_that_is_gone_by_now_is_refused_in_words(cache: Cache) -> None:
    await known_to(cache, "old")
    connector = GatedConnector({"peer": server("new")})
    async with desk(connector, PEER, cache=cache) as at:
        assert await offered(at) == ["peer_old"]
        call = asyncio.create_task(at.run("peer_old"))
        await asyncio.wait({call}, timeout=0.05)
        connector.gate.set()
        outcome = await call
        assert (outcome.status, outcome.text) == ("error", "Unknown tool: old")
        assert "there is no tool 'peer_old'; tools: peer_new" in (await at.run("peer_old")).text


async def test_what_the_server_says_takes_the_place_of_what_was_kept(cache: Cache) -> None:
    await known_to(cache, "echo")
    peer = server("echo")
    async with desk(FakeConnector({"peer": peer}), PEER, cache=cache) as at:
        await at.manager.tools("peer")
        peer.add(ToolInfo("fresh"), echo)
        await until(lambda: "peer_fresh" in at.manager.tool_names("peer"))
        await offered(at)
    shut = GatedConnector({"peer": server()})
    async with desk(shut, PEER, cache=cache) as at:
        assert await offered(at) == ["peer_echo", "peer_fresh"]


async def test_another_login_is_another_list(cache: Cache) -> None:
    await known_to(cache, "echo")
    entry = ServerEntry.model_validate({"env": {"TOKEN": "somebody else's"}})
    connector = GatedConnector({"peer": server("echo")})
    async with desk(connector, {"peer": entry}, cache=cache) as at:
        asking = asyncio.create_task(offered(at))
        await asyncio.wait({asking}, timeout=0.05)
        assert not asking.done()
        asking.cancel()


async def test_a_list_that_has_expired_makes_us_look_again_without_waiting() -> None:
    peer = server("echo")
    settings = CacheSettings.model_validate({"tools": {"ttl_s": 0.05}})
    async with Cache(settings) as cache, desk(FakeConnector({"peer": peer}), PEER, cache=cache) as at:
        assert await offered(at) == ["peer_echo"]
        peer.tools["quiet"] = (ToolInfo("quiet"), echo)  # a server that does not tell of it
        async with asyncio.timeout(10):
            while "peer_quiet" not in await offered(at):  # noqa: ASYNC110 - nothing tells of an entry's end
                await asyncio.sleep(0.01)
