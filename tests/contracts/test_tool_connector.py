"""The suite of ToolConnector over the shipped fake, stdio, streamable HTTP and SSE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nodes.mcp_tools.adapters.session import SessionConnector
from nodes.mcp_tools.errors import ServerGone
from nodes.mcp_tools.fake import Elicit, FakeConnector, FakeServer
from nodes.mcp_tools.models import CallResult, Content, Progress, ToolInfo
from nodes.mcp_tools.ports import Listener
from nodes.mcp_tools.settings import ServerEntry
from waystation.testing.contracts.tool_connector import Subject, ToolConnectorContract
from waystation.testing.mcp_servers import http_peer, peer


async def _echo(arguments: Mapping[str, Any], _: Progress) -> str:
    return str(arguments["text"])


async def _fail(_: Mapping[str, Any], __: Progress) -> CallResult:
    return CallResult((Content("text", "that went wrong"),), is_error=True)


async def _progress(arguments: Mapping[str, Any], progress: Progress) -> str:
    for step in range(1, arguments["steps"] + 1):
        progress(step, arguments["steps"], f"step {step}")
    return "finished"


async def _book(arguments: Mapping[str, Any], elicit: Elicit) -> str:
    nights = {"type": "object", "properties": {"nights": {"type": "integer"}}, "required": ["nights"]}
    answer = await elicit(f"How many nights in {arguments['place']}?", nights)
    if answer.action != "accept" or answer.content is None:
        return f"not booked: {answer.action}"
    return f"{arguments['place']}: {answer.content['nights']} nights"


def fake_server() -> FakeServer:
    server = FakeServer()
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    server.add(ToolInfo("echo", "Say it again.", text), _echo)
    server.add(ToolInfo("fail", "Always fails."), _fail)
    server.add(ToolInfo("progress", "Report each step."), _progress)
    server.add_asking(ToolInfo("book", "Asks for a number of nights."), _book)
    return server


class TestFake(ToolConnectorContract):
    @pytest.fixture
    def subject(self) -> Subject:
        return FakeConnector({"peer": fake_server()}), ServerEntry()


class TestStdio(ToolConnectorContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return SessionConnector(tmp_path), peer()


@pytest.fixture(scope="module", params=["streamable-http", "sse"])
def served(request: pytest.FixtureRequest) -> Iterator[ServerEntry]:
    """One process for all: a session knows nothing of the one before."""
    with http_peer(request.param) as (url, _):
        transport = "sse" if request.param == "sse" else "http"
        yield ServerEntry.model_validate({"url": url, "transport": transport})


class TestHttp(ToolConnectorContract):
    @pytest.fixture
    def subject(self, served: ServerEntry, tmp_path: Path) -> Subject:
        return SessionConnector(tmp_path), served


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
