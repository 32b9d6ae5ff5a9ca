"""A server's errors, by number and by status, are those of one call."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from nodes.mcp_tools.errors import ServerDown
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeLinks
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import ExecutionContext, ToolOutcome
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.odd_servers import (
    GOOD,
    OddHttp,
    Request,
    Response,
    UsualSse,
    as_json,
    as_stream,
    odd,
    odd_http,
    text,
    usual,
)
from waystation.testing.mcp_servers import managed, text_of

pytestmark = pytest.mark.slow

CONTEXT = ExecutionContext(Principal("ada"), call_id="c1")
TOOLS = [GOOD, *({"name": name, "inputSchema": {"type": "object"}} for name in ("bad", "slow"))]
CALLS = {"good": text("fine"), "slow": text("slow")}
SCRIPT: dict[str, Any] = {"tools": TOOLS, "calls": CALLS}
BANDS = [-32000, -32001, -32098, 32600, -32600, -32601, -32602, -32603, -32042, 0, 404]


async def run(manager: MCPToolManager, tool: str = "bad", **args: Any) -> ToolOutcome:
    executor = ToolExecutor(manager, FakeLinks())
    return await executor.execute({"id": "c1", "name": f"far_{tool}", "args": args}, CONTEXT)


@pytest.mark.parametrize("code", BANDS)
async def test_t1_1_an_error_of_any_number_is_that_calls_and_keeps_its_words(
    tmp_path: Path, code: int
) -> None:
    refused = {"error": {"code": code, "message": "quota exceeded"}}
    script = {**SCRIPT, "calls": {**CALLS, "bad": refused}}
    async with managed({"far": odd(tmp_path / "s", script)}, tmp_path) as manager:
        for _ in range(6):
            outcome = await run(manager)
            assert (outcome.status, outcome.text) == ("error", "quota exceeded")
        assert (await run(manager, "good")).text == "fine"
        assert manager.status()["far"].restarts == 0


async def test_t1_1_over_http_such_an_error_leaves_other_calls_alone(tmp_path: Path) -> None:
    refused = {"error": {"code": -32000, "message": "quota exceeded"}}
    script = {**SCRIPT, "calls": {**CALLS, "bad": refused}}
    async with held(usual(script), tmp_path) as (manager, release):
        slow = asyncio.create_task(run(manager, "slow"))
        assert (await run(manager)).text == "quota exceeded"
        release.set()
        assert (await slow).text == "slow"
        assert manager.status()["far"].restarts == 0


@asynccontextmanager
async def held(
    handler: Callable[[Request], Response], folder: Path, *, bad: Response | None = None, **fields: Any
) -> AsyncIterator[tuple[MCPToolManager, asyncio.Event]]:
    """A server whose `bad` gets this response, and whose `slow` answers when the event is set."""
    release = asyncio.Event()

    async def answered(request: Request) -> Response:
        if request.tool == "slow":
            await release.wait()
        return bad if bad is not None and request.tool == "bad" else handler(request)

    async with odd_http(answered) as server:
        entry = ServerEntry.model_validate({"url": server.url(), **fields})
        async with managed({"far": entry}, folder, call_timeout_s=20) as manager:
            await manager.tools("far")
            yield manager, release


NOT_DONE = [400, 401, 403, 404, 405, 409, 413, 418, 422, 429, 501, 503, 302]
UNSURE = [500, 502, 504, 520]


@pytest.mark.parametrize("status", [*NOT_DONE, *UNSURE])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_t1_2_a_call_refused_with_a_status_fails_alone_and_names_it(
    tmp_path: Path, status: int, transport: str
) -> None:
    handler = usual(SCRIPT) if transport == "http" else UsualSse(SCRIPT)
    refused = Response(status, {"content-type": "text/plain"}, (b"no",))
    async with held(handler, tmp_path, bad=refused, transport=transport) as (manager, release):
        slow = asyncio.create_task(run(manager, "slow"))
        outcome = await run(manager)
        assert f"HTTP status {status}" in outcome.text
        assert outcome.status == ("unknown" if status in UNSURE else "error")
        assert (await run(manager, "good")).text == "fine"
        release.set()
        assert (await slow).text == "slow"
        assert manager.status()["far"].restarts == 0


async def test_t1_2_a_message_in_the_refusal_is_kept(tmp_path: Path) -> None:
    refused = as_json({"error": {"message": "no credits left"}}, 403)
    async with held(usual(SCRIPT), tmp_path, bad=refused) as (manager, _):
        assert (await run(manager)).text.endswith("no credits left")


async def test_t1_2_a_refusal_that_is_json_rpc_is_the_servers_own_error(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        if request.tool == "bad":
            error = {"code": -32602, "message": "no such date"}
            return as_json({"jsonrpc": "2.0", "id": request.message["id"], "error": error}, 400)
        return usual(SCRIPT)(request)

    async with held(handler, tmp_path) as (manager, _):
        outcome = await run(manager)
        assert (outcome.status, outcome.text) == ("error", "no such date")


async def test_t1_2_a_server_that_refuses_pings_keeps_its_session(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        message = request.message
        if request.tool == "bad" or message.get("method") == "ping":
            error = {"code": -32601, "message": "unknown method"}
            return as_json({"jsonrpc": "2.0", "id": message["id"], "error": error}, 400)
        return usual(SCRIPT)(request)

    async with held(handler, tmp_path) as (manager, _):
        assert (await run(manager)).text == "unknown method"
        assert (await run(manager, "good")).text == "fine"
        assert manager.status()["far"].restarts == 0


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_t1_2_arguments_over_4_mib_are_not_sent(tmp_path: Path, transport: str) -> None:
    handler = usual(SCRIPT) if transport == "http" else UsualSse(SCRIPT)
    async with odd_http(handler) as server:
        entry = ServerEntry.model_validate({"url": server.url(), "transport": transport})
        async with managed({"far": entry}, tmp_path) as manager:
            await manager.tools("far")
            outcome = await run(manager, "good", text="x" * (4 * 1024 * 1024))
            assert (outcome.status, server.calls("good")) == ("error", 0)
            assert "servers take at most 4194304, so it was not sent" in outcome.text
            assert (await run(manager, "good")).text == "fine"
            assert manager.status()["far"].restarts == 0


async def test_t1_2_a_lost_session_is_opened_again_and_the_call_made_once(tmp_path: Path) -> None:
    living = {"s1"}

    def handler(request: Request) -> Response:
        session = request.headers.get("mcp-session-id")
        if session is not None and session not in living:
            return Response(404)
        if request.method == "POST" and request.message.get("method") == "initialize":
            living.add("s2" if "s1" not in living else "s1")
            return usual(SCRIPT, session="s2" if "s1" not in living else "s1")(request)
        return usual(SCRIPT, session="")(request)

    async with odd_http(handler) as server:
        entry = ServerEntry.model_validate({"url": server.url()})
        async with managed({"far": entry}, tmp_path) as manager:
            await manager.tools("far")
            living.clear()
            assert (await run(manager, "good")).text == "fine"
            assert manager.status()["far"].restarts == 1
            answered = [r for r in server.asked if r.tool == "good" and r.headers["mcp-session-id"] == "s2"]
            assert len(answered) == 1


async def test_t1_2_a_session_that_is_forgotten_with_another_status_is_opened_again(tmp_path: Path) -> None:
    living = True

    def handler(request: Request) -> Response:
        nonlocal living
        if request.method == "POST" and request.message.get("method") == "initialize":
            living = True
        return usual(SCRIPT)(request) if living else Response(400)

    async with odd_http(handler) as server:
        entry = ServerEntry.model_validate({"url": server.url()})
        async with managed({"far": entry}, tmp_path) as manager:
            await manager.tools("far")
            living = False
            assert (await run(manager, "good")).text == "fine"
            assert manager.status()["far"].restarts == 1
            assert server.calls("good") == 2


async def test_t1_2_a_note_that_is_refused_ends_nothing(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        if request.method == "POST" and request.message.get("method") == "notifications/cancelled":
            return Response(500)
        return usual(SCRIPT)(request)

    async with held(handler, tmp_path) as (manager, _):
        dropped = asyncio.create_task(run(manager, "slow"))
        await asyncio.wait({dropped}, timeout=0.2)
        dropped.cancel()
        await asyncio.gather(dropped, return_exceptions=True)
        assert (await run(manager, "good")).text == "fine"
        assert manager.status()["far"].restarts == 0


CUT = [
    Response(200, {"content-type": "text/event-stream"}, (b'event: message\ndata: {"jsonrpc": "2',)),
    Response(200, {"content-type": "text/event-stream"}, (b": bye\n\n",)),
    Response(200, {"content-type": "application/json", "content-length": "50"}, (b"{",)),
    Response(200, {"content-type": "application/json"}, (b'{"status": "ok"}',)),
    Response(200, {"content-type": "application/json"}, (b"",)),
    Response(200, {"content-type": "text/plain"}, (b"OK",)),
]


@pytest.mark.parametrize("cut", CUT)
async def test_t1_2_an_answer_that_breaks_off_leaves_it_open_what_was_done(
    tmp_path: Path, cut: Response
) -> None:
    async with held(usual(SCRIPT), tmp_path, bad=cut) as (manager, release):
        slow = asyncio.create_task(run(manager, "slow"))
        assert (await run(manager)).status == "unknown"
        release.set()
        assert (await slow).text == "slow"
        assert manager.status()["far"].restarts == 0


async def test_an_answer_may_come_in_events_of_several_lines_in_a_batch_or_compressed(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        if request.tool not in ("bad", "slow"):
            return usual(SCRIPT)(request)
        answer = {"jsonrpc": "2.0", "id": request.message["id"], **text("read")}
        if request.tool == "slow":
            lines = json.dumps([answer], indent=1).encode().split(b"\n")
            body = (
                b": hello\r\n\r\nid: 7\r\n" + b"".join(b"data: " + line + b"\r\n" for line in lines) + b"\r\n"
            )
            return Response(200, {"content-type": "text/event-stream"}, (body,))
        body = gzip.compress(json.dumps(answer).encode())
        return Response(200, {"content-type": "application/json", "content-encoding": "gzip"}, (body,))

    async with held(handler, tmp_path) as (manager, release):
        release.set()
        assert (await run(manager)).text == "read"
        assert (await run(manager, "slow")).text == "read"


async def test_a_result_over_the_limit_is_not_read_and_says_that_the_tool_has_answered(
    tmp_path: Path,
) -> None:
    def handler(request: Request) -> Response:
        if request.tool in ("bad", "slow"):
            answer = {"jsonrpc": "2.0", "id": request.message["id"], **text("x" * 20_000)}
            return as_json(answer) if request.tool == "bad" else as_stream(answer)
        return usual(SCRIPT)(request)

    async with held(handler, tmp_path, max_result_bytes=1024) as (manager, release):
        release.set()
        for tool in ("bad", "slow"):
            outcome = await run(manager, tool)
            assert (outcome.status, "the tool has answered" in outcome.text) == ("unknown", True)


async def test_a_server_that_goes_away_is_down_and_says_so(tmp_path: Path) -> None:
    async def gone(server: OddHttp, manager: MCPToolManager) -> None:
        await manager.tools("far")
        assert text_of(await manager.call("far", "good", {})) == "fine"

    async with odd_http(usual(SCRIPT)) as server:
        entry = ServerEntry.model_validate({"url": server.url()})
        async with managed({"far": entry}, tmp_path) as first:
            await gone(server, first)
    async with managed({"far": entry}, tmp_path) as second:
        with pytest.raises(ServerDown, match="nothing answers at its url"):
            await second.tools("far")
