"""Servers that work elsewhere come up here, and the reason of one that does not says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.access import Principal
from nodes.mcp_tools.adapters.http import _why
from nodes.mcp_tools.errors import ServerDown
from nodes.mcp_tools.fake import FakeConnector
from nodes.mcp_tools.models import Progress, ServerState, ToolInfo
from nodes.mcp_tools.settings import McpSettings, ServerEntry
from tests.kit.odd_servers import GOOD, Request, Response, UsualSse, odd_http, text, usual
from tests.unit.nodes.mcp_tools.fakes import GatedConnector, desk, echo, server
from waystation.testing.mcp_servers import http_peer, managed, text_of, until

pytestmark = pytest.mark.slow

ADA = Principal("ada")
SCRIPT = {"tools": [GOOD], "calls": {"good": text("fine")}}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_t4_1_a_redirect_on_the_same_host_is_followed_with_the_message(
    tmp_path: Path, status: int, transport: str
) -> None:
    inner = usual(SCRIPT) if transport == "http" else UsualSse(SCRIPT)

    def handler(request: Request) -> Response:
        if request.path.endswith("/"):
            return inner(request)
        return Response(status, {"location": f"{request.path}/"})

    async with odd_http(handler) as server:
        given = {"url": server.url(), "transport": transport, "headers": {"X-Key": "k"}}
        async with managed({"far": ServerEntry.model_validate(given)}, tmp_path) as manager:
            assert text_of(await manager.call("far", "good", {})) == "fine"
        assert {request.headers["x-key"] for request in server.asked} == {"k"}


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_t4_1_nothing_is_sent_to_another_origin(tmp_path: Path, transport: str) -> None:
    async with odd_http(usual(SCRIPT)) as stranger:
        target = stranger.url("/sso?state=s3cret")
        async with odd_http(lambda _: Response(307, {"location": target})) as server:
            given = {"url": server.url(), "transport": transport, "auth_token": "t", "auth_type": "bearer"}
            async with managed({"far": ServerEntry.model_validate(given)}, tmp_path) as manager:
                with pytest.raises(ServerDown) as caught:
                    await manager.tools("far")
        assert stranger.asked == []
    assert f"HTTP status 307 (Temporary Redirect): it leads to {stranger.url('/sso')}, which" in str(
        caught.value
    )
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("location", ["/mcp", "http://[odd", "", None])
async def test_t4_1_a_redirect_that_leads_nowhere_ends(tmp_path: Path, location: str | None) -> None:
    headers = {} if location is None else {"location": location}
    async with (
        odd_http(lambda _: Response(308, headers)) as server,
        managed({"far": ServerEntry.model_validate({"url": server.url()})}, tmp_path) as manager,
    ):
        with pytest.raises(ServerDown, match="HTTP status 308"):
            await manager.tools("far")


async def test_t4_2_a_first_start_may_take_long_and_turns_wait_for_it_only_once() -> None:
    connector = GatedConnector({"far": server()})
    far = {"far": ServerEntry()}
    async with desk(connector, far, start_timeout_s=0.05, first_start_timeout_s=60) as at:
        assert await at.manager.schemas(ADA, ["far"]) == []
        assert at.manager.status()["far"].state is ServerState.STARTING
        assert await at.manager.schemas(ADA, ["far"]) == []
        assert at.told() == [], "it was not given up"
        connector.gate.set()
        assert {tool.name for tool in await at.manager.tools("far")} == {"echo", "fail", "hang"}
        assert at.told() == ["ServerUp"]


async def test_t4_2_a_call_waits_for_a_first_start() -> None:
    peer = server()
    connector = GatedConnector({"far": peer})

    async def wake(_: Mapping[str, Any], __: Progress) -> str:
        return "awake"

    peer.add(ToolInfo("wake"), wake)
    async with desk(connector, {"far": ServerEntry()}, start_timeout_s=0.05, first_start_timeout_s=60) as at:
        await at.manager.schemas(ADA, ["far"])
        connector.gate.set()
        assert text_of(await at.manager.call("far", "wake", {})) == "awake"


async def test_t4_2_the_patience_is_set_for_all_servers_or_for_one() -> None:
    entries = {"own": ServerEntry(init_timeout_s=90), "usual": ServerEntry()}
    connector = FakeConnector({name: server() for name in entries})
    async with desk(connector, entries) as at:
        own, plain = at.manager.limits("own"), at.manager.limits("usual")
        assert (own.start_s, own.first_s) == (90, 90)
        assert (plain.start_s, plain.first_s) == (10, 60)
    assert McpSettings(start_timeout_s=5).first_start_s == 5
    assert McpSettings(first_start_timeout_s=7).first_start_s == 7


async def test_t4_2_the_reason_names_the_setting() -> None:
    connector = GatedConnector({"far": server()})
    async with desk(connector, {"far": ServerEntry(init_timeout_s=0.05)}) as at:
        with pytest.raises(ServerDown, match=r"did not start within 0\.05 s; init_timeout_s in its entry"):
            await at.manager.tools("far")
        await until(lambda: at.manager.status()["far"].state is ServerState.DOWN)


HTML = Response(200, {"content-type": "text/html; charset=utf-8"}, (b"<html>Log in</html>",))
REASONS = [
    (Response(401), r"HTTP status 401 \(Unauthorized\): it wants a login; set auth_token or headers"),
    (Response(403), "HTTP status 403"),
    (Response(404), "HTTP status 404 .*: there is no MCP endpoint at its url; check the path"),
    (Response(405), "HTTP status 405 .* whether it wants transport sse or http"),
    (Response(500), "HTTP status 500"),
    (Response(502), "HTTP status 502 .*: the gateway before it cannot reach it"),
    (Response(999), "HTTP status 999"),
    (HTML, r"a web page \(HTML\) answers at its url, no MCP endpoint"),
    (Response(200, {"content-type": "text/plain"}, (b"hello",)), "is no MCP"),
    (Response(200), "is no MCP"),
]


@pytest.mark.parametrize(("response", "reason"), REASONS)
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_t4_4_the_reason_says_what_was_wrong_and_what_to_do(
    tmp_path: Path, response: Response, reason: str, transport: str
) -> None:
    async with odd_http(lambda _: response) as server:
        entry = ServerEntry.model_validate({"url": server.url(), "transport": transport})
        async with managed({"far": entry}, tmp_path, start_timeout_s=30) as manager:
            with pytest.raises(ServerDown, match=f"the tool server 'far' is down: .*{reason}"):
                await manager.tools("far")


async def test_t4_4_an_sse_address_without_a_transport_works(tmp_path: Path) -> None:
    with http_peer("sse") as (url, _):
        async with managed({"far": ServerEntry.model_validate({"url": url})}, tmp_path) as manager:
            assert text_of(await manager.call("far", "echo", {"text": "x"})) == "x"
            assert manager.status()["far"].restarts == 0


@pytest.mark.parametrize("version", ["1.0", None, 7])
async def test_t4_4_a_version_that_is_not_known_is_named(tmp_path: Path, version: object) -> None:
    async with (
        odd_http(usual({**SCRIPT, "opened": {"protocolVersion": version}})) as server,
        managed({"far": ServerEntry.model_validate({"url": server.url()})}, tmp_path) as manager,
    ):
        with pytest.raises(ServerDown, match=r"protocolVersion is .*; known here are 2024-11-05"):
            await manager.tools("far")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "SSL_CERT_FILE"),
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER]"), "does not speak TLS"),
        (httpx.ConnectError("[Errno -2] Name or service not known"), "host name of its url is not known"),
        (httpx.ConnectError("All connection attempts failed"), "nothing answers at its url"),
        (httpx.ReadError(""), "the connection failed (ReadError)"),
    ],
)
def test_t4_4_a_connection_that_fails_says_how(error: httpx.HTTPError, reason: str) -> None:
    assert reason in _why(error)


async def test_a_server_of_the_fake_says_what_it_leaves_out() -> None:
    peer = server()
    peer.add(ToolInfo("more"), echo)
    peer.left_out = ("tool 'x' is left out: name is missing",)
    async with desk(FakeConnector({"far": peer}), {"far": ServerEntry()}) as at:
        await at.manager.tools("far")
        assert at.manager.status()["far"].as_json()["left_out"] == list(peer.left_out)
