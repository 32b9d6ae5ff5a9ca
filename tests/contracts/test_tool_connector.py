"""What every connector to tool servers holds: the shipped fake, stdio, streamable HTTP and SSE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nodes.mcp_tools.adapters.session import SessionConnector
from nodes.mcp_tools.errors import ServerGone
from nodes.mcp_tools.fake import FakeConnector, FakeServer
from nodes.mcp_tools.models import CallResult, Content, Progress, ToolInfo
from nodes.mcp_tools.ports import Listener, ToolConnection, ToolConnector
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.mcp_servers import http_peer, peer, text_of


async def _echo(arguments: Mapping[str, Any], _: Progress) -> str:
    return str(arguments["text"])


async def _fail(_: Mapping[str, Any], __: Progress) -> CallResult:
    return CallResult((Content("text", "that went wrong"),), is_error=True)


async def _progress(arguments: Mapping[str, Any], progress: Progress) -> str:
    for step in range(1, arguments["steps"] + 1):
        progress(step, arguments["steps"], f"step {step}")
    return "finished"


def fake_server() -> FakeServer:
    server = FakeServer()
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    server.add(ToolInfo("echo", "Say it again.", text), _echo)
    server.add(ToolInfo("fail", "Always fails."), _fail)
    server.add(ToolInfo("progress", "Report each step."), _progress)
    return server


@pytest.fixture(params=["fake", "stdio", "streamable-http", "sse"])
async def subject(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[ToolConnector, ServerEntry]]:
    with ExitStack() as stack:
        if request.param == "fake":
            yield FakeConnector({"peer": fake_server()}), ServerEntry()
        elif request.param == "stdio":
            yield SessionConnector(tmp_path), peer()
        else:
            url, _ = stack.enter_context(http_peer(request.param))
            transport = "sse" if request.param == "sse" else "http"
            entry = ServerEntry.model_validate({"url": url, "transport": transport})
            yield SessionConnector(tmp_path), entry


class Session:
    """An open connection in a task of its own, as the keeper holds it."""

    def __init__(self, connector: ToolConnector, entry: ServerEntry) -> None:
        self._connector = connector
        self._entry = entry
        self._opened: asyncio.Future[ToolConnection] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._owner = asyncio.create_task(self._own())

    async def _own(self) -> None:
        listener = Listener(changed=lambda: None, lost=lambda _: None)
        async with self._connector.open("peer", self._entry, listener, max_result_bytes=65_536) as found:
            self._opened.set_result(found)
            await self._leave.wait()

    async def __aenter__(self) -> ToolConnection:
        ends: set[asyncio.Future[Any]] = {self._opened, self._owner}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            await self._owner
        return self._opened.result()

    async def __aexit__(self, *exc: object) -> None:
        self._leave.set()
        await self._owner


async def test_tools_come_with_description_and_schema(subject: tuple[ToolConnector, ServerEntry]) -> None:
    async with Session(*subject) as connection:
        tools = {tool.name: tool for tool in await connection.tools()}
    assert tools["echo"].description
    assert tools["echo"].parameters["properties"]["text"]["type"] == "string"


async def test_a_call_gives_the_tools_answer(subject: tuple[ToolConnector, ServerEntry]) -> None:
    async with Session(*subject) as connection:
        result = await connection.call("echo", {"text": "héllo"})
        assert (text_of(result), result.is_error) == ("héllo", False)


async def test_calls_may_overlap(subject: tuple[ToolConnector, ServerEntry]) -> None:
    async with Session(*subject) as connection:
        results = await asyncio.gather(*(connection.call("echo", {"text": str(n)}) for n in range(20)))
        assert [text_of(result) for result in results] == [str(n) for n in range(20)]


async def test_a_failed_tool_is_an_answer(subject: tuple[ToolConnector, ServerEntry]) -> None:
    async with Session(*subject) as connection:
        result = await connection.call("fail", {})
    assert result.is_error
    assert "that went wrong" in text_of(result)


async def test_progress_is_reported_while_the_call_goes(subject: tuple[ToolConnector, ServerEntry]) -> None:
    seen: list[tuple[float, float | None, str]] = []
    async with Session(*subject) as connection:
        await connection.call("progress", {"steps": 2}, progress=lambda *step: seen.append(step))
    assert seen == [(1, 2, "step 1"), (2, 2, "step 2")]


async def test_a_session_answers_a_ping(subject: tuple[ToolConnector, ServerEntry]) -> None:
    async with Session(*subject) as connection:
        assert await connection.alive()


async def test_the_fake_ends_its_sessions_when_it_breaks_down() -> None:
    server = fake_server()
    lost: list[str] = []
    listener = Listener(changed=lambda: None, lost=lost.append)
    async with FakeConnector({"peer": server}).open(
        "peer", ServerEntry(), listener, max_result_bytes=1024
    ) as connection:
        assert (await connection.call("nope", {})).is_error
        server.break_down("gone fishing")
        with pytest.raises(ServerGone):
            await connection.tools()
    assert lost == ["gone fishing"]
