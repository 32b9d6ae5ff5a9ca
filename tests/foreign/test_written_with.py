"""Servers written with other libraries than ours: fastmcp 4 and mcp 2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import Answer, ServerState
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.foreign import listening, local, written_with
from waystation.testing.contracts.tool_connector import Person
from waystation.testing.mcp_servers import kill, managed, text_of, until

PATHS = {"http": "/mcp", "sse": "/sse"}
SERVERS = [("fastmcp", "stdio"), ("fastmcp", "http"), ("mcp2", "stdio"), ("mcp2", "http"), ("mcp2", "sse")]
TOOLS = ["pid", "totals", "pixel", "fail", "count", "book"]


@contextmanager
def running(library: str, transport: str) -> Iterator[ServerEntry]:
    """An entry without a transport: where it is the older one, we find out."""
    command = [*written_with(library), transport]
    if transport == "stdio":
        yield local(command)
        return
    with listening(command, PATHS[transport]) as (url, _):
        yield ServerEntry.model_validate({"url": url})


@pytest.fixture(params=SERVERS, ids="-".join)
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MCPToolManager]:
    with running(*request.param) as entry:
        async with managed({"far": entry}, tmp_path, call_timeout_s=60) as manager:
            yield manager


async def test_a_server_of_another_library_does_all_that_ours_do(manager: MCPToolManager) -> None:
    assert [tool.name for tool in await manager.tools("far")] == TOOLS
    assert manager.status()["far"].left_out == ()
    totals = await manager.call("far", "totals", {"places": ["Rome"]})
    assert (totals.structured, totals.is_error) == ({"Rome": 4}, False)
    (image,) = (await manager.call("far", "pixel", {})).content
    assert (image.kind, image.media_type, image.b64[:5]) == ("image", "image/png", "iVBOR")
    failed = await manager.call("far", "fail", {})
    assert failed.is_error
    assert "fail" in text_of(failed)
    steps: list[tuple[float, float | None, str]] = []
    await manager.call("far", "count", {"steps": 3}, progress=lambda *step: steps.append(step))
    assert steps == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]
    await _questions(manager)
    assert manager.status()["far"].restarts == 0


async def _questions(manager: MCPToolManager) -> None:
    """Two callers at once, each asked by its own call."""
    people = {place: Person(Answer("accept", {"nights": n})) for place, n in (("Rome", 1), ("Oslo", 2))}
    calls = (manager.call("far", "book", {"place": place}, ask=one.ask) for place, one in people.items())
    assert [text_of(found) for found in await asyncio.gather(*calls)] == ["Rome: 1 nights", "Oslo: 2 nights"]
    refused = await manager.call("far", "book", {"place": "Bern"}, ask=Person(Answer("decline")).ask)
    assert text_of(refused) == "not booked: decline"


@pytest.mark.parametrize("library", ["fastmcp", "mcp2"])
async def test_a_server_of_another_library_that_is_killed_is_used_again(tmp_path: Path, library: str) -> None:
    async with managed({"far": local([*written_with(library), "stdio"])}, tmp_path) as manager:
        before = int(text_of(await manager.call("far", "pid", {})))
        kill(before)
        await until(lambda: manager.status()["far"].restarts == 1, seconds=60)
        assert text_of(await manager.call("far", "pid", {})) != str(before)
        assert manager.status()["far"].state is ServerState.UP


@pytest.mark.parametrize("library", ["fastmcp", "mcp2"])
async def test_a_server_over_http_that_was_replaced_is_used_again(tmp_path: Path, library: str) -> None:
    command = [*written_with(library), "http"]
    with listening(command, "/mcp") as (url, process):
        async with managed({"far": ServerEntry.model_validate({"url": url})}, tmp_path) as manager:
            before = text_of(await manager.call("far", "pid", {}))
            process.kill()
            process.wait()
            port = int(url.rsplit(":", 1)[1].split("/")[0])
            with listening(command, "/mcp", port=port):
                await manager.restart("far")
                assert text_of(await manager.call("far", "pid", {})) != before
