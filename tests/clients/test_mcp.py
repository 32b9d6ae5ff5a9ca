"""The service as an MCP server for clients of other people: the SDK 1 and 2, and another Waystation."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl

from core.access import Principal
from tests.kit.clients import CLIENT_SECONDS, SCRIPTS, installed, run_in
from tests.kit.flaky import FlakyProxy
from tests.kit.foreign import python_of
from waystation.testing.agents import BUNDLED, open_agent, write_config
from waystation.testing.model_server import ModelServer, call, say
from waystation.testing.service import ROOT, Service, environment

VERSION = "io.modelcontextprotocol/protocolVersion"
APPROVAL = json.dumps({"calculator": {"require_approval": ["add"]}})


@dataclass(frozen=True)
class Place:
    """A service, and the environment of commands beside it."""

    service: Service
    environ: dict[str, str]
    config: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("mcp")
    config = write_config(folder, files={"mcp.json": APPROVAL})
    env = {
        "OPENAI_BASE_URL": _model_server.url,
        "OPENAI_API_KEY": "test",
        "WAYSTATION_MCP__DISABLED": json.dumps(sorted(BUNDLED - {"calculator"})),
    }
    home = folder / "home"
    with Service(home, config_dir=config, env=env) as service:
        yield Place(service, environment(home, config_dir=config, env=env), config)


async def yes(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    assert "calculator.add" in params.message
    return types.ElicitResult(action="accept", content={"approve": True})


@asynccontextmanager
async def met(place: Place, way: str) -> AsyncIterator[ClientSession]:
    """A session of the SDK over HTTP, or over stdio through the service or in a process of its own."""
    if way == "http":
        async with (
            httpx.AsyncClient(trust_env=False, timeout=CLIENT_SECONDS) as http,
            streamable_http_client(f"{place.service.url}/mcp", http_client=http) as (read, write, _),
            ClientSession(read, write, elicitation_callback=yes) as session,
        ):
            await session.initialize()
            yield session
        return
    words = ["-m", "waystation", "mcp", "serve", *way.split()[1:]]
    server = StdioServerParameters(command=sys.executable, args=words, env=place.environ, cwd=ROOT)
    async with (
        stdio_client(server) as (read, write),
        ClientSession(read, write, elicitation_callback=yes) as session,
    ):
        await session.initialize()
        yield session


@pytest.mark.parametrize("way", ["http", "stdio", "stdio --here --gateway"])
async def test_the_sdk_asks_answers_for_its_person_and_reads(
    place: Place, model_server: ModelServer, way: str
) -> None:
    model_server.script(say("A whole answer."), match="plain")
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), say("It is eight."), match="approval")
    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with met(place, way) as session:
        names = {tool.name for tool in (await session.list_tools()).tools}
        assert {"ask", "search"} <= names
        assert ("calculator_add" in names) is ("--gateway" in way)
        plain = await session.call_tool("ask", {"message": "plain"}, progress_callback=progress)
        assert plain.structuredContent is not None
        assert plain.structuredContent["answer"] == "".join(text or "" for text in told) == "A whole answer."
        approved = await session.call_tool("ask", {"message": "approval"})
        assert approved.structuredContent is not None
        assert [made["status"] for made in approved.structuredContent["tool_calls"]] == ["ok"]
        found = await session.call_tool("search", {"query": "berth"})
        assert found.structuredContent is not None
        assert found.structuredContent["passages"][0]["source"] == "harbour"
        thread = f"waystation://threads/{plain.structuredContent['thread_id']}"
        assert thread in {str(each.uri) for each in (await session.list_resources()).resources}
        [content] = (await session.read_resource(AnyUrl(thread))).contents
        assert "A whole answer." in content.text  # type: ignore[union-attr]
        assert len((await session.list_prompts()).prompts) == 2
        wrong = await session.call_tool("ask", {"message": "hi", "model": "nope"})
        assert wrong.isError
        with pytest.raises(McpError, match="no thread"):
            await session.read_resource(AnyUrl("waystation://threads/nope"))
        # None of what was refused has ended the session.
        assert (await session.list_tools()).tools


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_client_of_the_sdk_2_speaks_either_dialect(
    place: Place, model_server: ModelServer, mode: str, version: str
) -> None:
    model_server.script(say("A whole answer."), match=f"{mode} plain")
    model_server.script(
        call("calculator_add", {"a": 5, "b": 3}), say("It is eight."), match=f"{mode} approval"
    )
    done = subprocess.run(
        [python_of("mcp2"), "-P", str(SCRIPTS / "mcp2_client.py"), f"{place.service.url}/mcp", mode],
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    assert seen["version"] == version
    assert seen["tools"] == ["ask", "search"]
    assert seen["plain"]["answer"] == "".join(text for _, text in seen["progress"]) == "A whole answer."
    assert seen["approved"]["answer"] == "It is eight."
    assert len(seen["asked"]) == 1
    assert seen["found"]["passages"][0]["source"] == "harbour"
    assert f"waystation://threads/{seen['plain']['thread_id']}" in seen["resources"]
    assert seen["thread"] == ["text/markdown"]
    assert seen["prompts"] == ["ask_sources", "summarise_thread"]
    assert "How long?" in seen["prompt"]
    assert (seen["wrong"], seen["missing"]) == (True, "thread_not_found")


async def test_another_waystation_uses_it_as_a_tool_server(
    place: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    model_server.script(
        call("inner_ask", {"message": "the inner one"}), say("It said so."), match="the outer one"
    )
    wanted = call("calculator_add", {"a": 5, "b": 3})
    # Asked twice: with the person's answer the outer one makes its call from the beginning.
    model_server.script(wanted, wanted, say("It is eight."), match="the inner one")
    files = {"mcp.json": json.dumps({"inner": {"type": "http", "url": f"{place.service.url}/mcp"}})}
    async with open_agent(tmp_path, model_url=model_server.url, files=files, mcp={"bundled": False}) as agent:
        waiting = await agent.ask("the outer one", thread="outer")
        [question] = waiting["interrupts"]
        assert question["kind"] == "elicitation"
        assert "calculator.add" in question["detail"]
        answer = {question["id"]: {"action": "accept", "content": {"approve": True}}}
        run = await agent.resume(Principal("local"), waiting["run_id"], answer)
        reply = await run.result()
    assert (reply["status"], reply["answer"]) == ("done", "It said so.")
    assert [(made["tool"], made["status"]) for made in reply["tool_calls"]] == [("ask", "ok")]


def test_stdio_says_nothing_but_messages_and_ends_with_its_input(place: Place) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
        {"jsonrpc": "2.0", "id": 3, "result": {}},
        {"jsonrpc": "2.0", "id": 4, "method": "tools/list", "params": {"_meta": {VERSION: "2030-01-01"}}},
    ]
    sent = "\n".join([*map(json.dumps, lines), "{", "", "[" * 100]) + "\n"
    done = subprocess.run(
        [sys.executable, "-m", "waystation", "mcp", "serve"],
        input=sent,
        env=place.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each.get("id") for each in told} == {1, 2, None}
    assert [each["error"]["code"] for each in told if "error" in each] == [-32022, -32700, -32700]
    assert "through the service" in done.stderr


def _is_ours(name: str) -> bool:
    return name.startswith(("WAYSTATION_", "OPENAI_"))


# The inspector's command line: where it is told to ask, and with what.
INSPECTED: Mapping[str, Callable[[Place], list[str]]] = {
    "http": lambda place: [f"{place.service.url}/mcp", "--transport", "http"],
    # It hands its servers nothing of its own environment.
    "stdio": lambda place: [
        *(part for pair in place.environ.items() if _is_ours(pair[0]) for part in ("-e", "=".join(pair))),
        *(sys.executable, "-m", "waystation", "mcp", "serve"),
    ],
}


@pytest.mark.parametrize("way", INSPECTED)
def test_the_inspectors_command_line_lists_asks_and_reads(
    place: Place, model_server: ModelServer, way: str
) -> None:
    program, package = installed("@modelcontextprotocol/inspector", "inspector")
    cli = [
        program,
        str(package / "clients" / "launcher" / "build" / "index.js"),
        "--cli",
        *INSPECTED[way](place),
    ]

    def asked(method: str, *words: str) -> Any:
        return json.loads(run_in(ROOT, *cli, "--method", method, *words))

    assert [tool["name"] for tool in asked("tools/list")["tools"]] == ["ask", "search"]
    model_server.script(say("Eight."), match=f"inspect {way}")
    answer = asked("tools/call", "--tool-name", "ask", "--tool-arg", f"message=inspect {way}")
    assert answer["structuredContent"]["answer"] == "Eight."
    thread = f"waystation://threads/{answer['structuredContent']['thread_id']}"
    [content] = asked("resources/read", "--uri", thread)["contents"]
    assert "Eight." in content["text"]


async def test_the_sdk_takes_up_a_stream_that_was_cut(place: Place, model_server: ModelServer) -> None:
    words = "One two three four five."
    model_server.script(say(words, hang_after=2), match="cut the sdk")
    told: list[str] = []
    with FlakyProxy(place.service.url) as proxy:

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            told.append(message or "")
            if "".join(told).endswith("two "):
                await asyncio.to_thread(proxy.refuse)
                await asyncio.to_thread(proxy.heal)
                model_server.release()

        async with (
            httpx.AsyncClient(trust_env=False, timeout=CLIENT_SECONDS) as http,
            streamable_http_client(f"{proxy.url}/mcp", http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            found = await session.call_tool("ask", {"message": "cut the sdk"}, progress_callback=progress)
    assert found.structuredContent is not None
    assert found.structuredContent["answer"] == "".join(told) == words
