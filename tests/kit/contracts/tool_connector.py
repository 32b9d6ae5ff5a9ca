"""What every connector to tool servers holds."""

from __future__ import annotations

import asyncio
from typing import Any

from nodes.mcp_tools.ports import Listener, ToolConnection, ToolConnector
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.mcp_servers import text_of

Subject = tuple[ToolConnector, ServerEntry]


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


class ToolConnectorContract:
    """Give the fixture `subject`: a connector, and an entry of a server with the tools of `mcp_peer`.

    Three of them are needed: `echo` (text), `fail`, and `progress` (steps).
    """

    async def test_tools_come_with_description_and_schema(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            tools = {tool.name: tool for tool in await connection.tools()}
        assert tools["echo"].description
        assert tools["echo"].parameters["properties"]["text"]["type"] == "string"

    async def test_a_call_gives_the_tools_answer(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            result = await connection.call("echo", {"text": "héllo"})
            assert (text_of(result), result.is_error) == ("héllo", False)

    async def test_calls_may_overlap(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            results = await asyncio.gather(*(connection.call("echo", {"text": str(n)}) for n in range(20)))
            assert [text_of(result) for result in results] == [str(n) for n in range(20)]

    async def test_a_failed_tool_is_an_answer(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            result = await connection.call("fail", {})
        assert result.is_error
        assert "that went wrong" in text_of(result)

    async def test_progress_is_reported_while_the_call_goes(self, subject: Subject) -> None:
        seen: list[tuple[float, float | None, str]] = []
        async with Session(*subject) as connection:
            await connection.call("progress", {"steps": 2}, progress=lambda *step: seen.append(step))
        assert seen == [(1, 2, "step 1"), (2, 2, "step 2")]

    async def test_a_session_answers_a_ping(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            assert await connection.alive()
