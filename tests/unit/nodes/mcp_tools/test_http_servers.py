"""Foreign servers over HTTP: the official SDK's, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from core.observability import extracted
from nodes.mcp_tools.adapters.session import headers_of
from nodes.mcp_tools.errors import ServerDown
from nodes.mcp_tools.settings import ServerEntry
from waystation.testing.mcp_servers import free_port, http_peer, is_running, kill, managed, text_of, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("transport", ["streamable-http", "sse"])
async def test_a_server_that_was_replaced_is_used_again(tmp_path: Path, transport: str) -> None:
    port = free_port()
    with http_peer(transport, port) as (url, _):
        kind = "sse" if transport == "sse" else "http"
        entry = ServerEntry.model_validate({"url": url, "transport": kind})
        async with managed({"far": entry}, tmp_path, call_timeout_s=20) as manager:
            first = text_of(await manager.call("far", "pid", {}))
            assert text_of(await manager.call("far", "pid", {})) == first
            kill(int(first))
            await until(lambda: not is_running(int(first)))
            with http_peer(transport, port):
                await manager.restart("far")
                assert text_of(await manager.call("far", "pid", {})) != first
                assert manager.status()["far"].restarts >= 1


async def test_a_session_that_the_server_has_forgotten_is_opened_again(tmp_path: Path) -> None:
    port = free_port()
    with http_peer(port=port) as (url, _):
        entry = ServerEntry.model_validate({"url": url})
        async with managed({"far": entry}, tmp_path, call_timeout_s=20) as manager:
            first = text_of(await manager.call("far", "pid", {}))
            kill(int(first))
            await until(lambda: not is_running(int(first)))
            with http_peer(port=port):
                assert text_of(await manager.call("far", "pid", {})) != first
                assert manager.status()["far"].restarts == 1


@pytest.mark.parametrize("transport", ["streamable-http", "sse"])
async def test_each_call_names_its_own_trace_in_its_message_and_in_a_header(
    tmp_path: Path, transport: str
) -> None:
    with http_peer(transport) as (url, _):
        kind = "sse" if transport == "sse" else "http"
        entry = ServerEntry.model_validate({"url": url, "transport": kind})
        async with managed({"far": entry}, tmp_path, call_timeout_s=20) as manager:
            with extracted({"traceparent": trace(1)}):
                first = await manager.call("far", "trace", {})
            with extracted({"traceparent": trace(2)}):
                second = await manager.call("far", "trace", {})
            none = await manager.call("far", "trace", {})
    assert text_of(first) == f"{trace(1)} {trace(1)}"
    assert text_of(second) == f"{trace(2)} {trace(2)}"
    assert text_of(none) == "None None"


def trace(number: int) -> str:
    """A traceparent."""
    return f"00-{number:032x}-{number:016x}-01"


async def test_a_url_where_nothing_answers_is_down_with_a_reason(tmp_path: Path) -> None:
    entry = ServerEntry.model_validate({"url": f"http://127.0.0.1:{free_port()}/mcp"})
    async with managed({"far": entry}, tmp_path) as manager:
        with pytest.raises(ServerDown, match="nothing answers at its url"):
            await manager.tools("far")


def test_tokens_go_into_the_header_that_the_entry_names() -> None:
    base = {"url": "https://example.test/mcp", "headers": {"X-Team": "a"}, "auth_token": "t0ken"}
    bearer = headers_of(ServerEntry.model_validate({**base, "auth_type": "bearer"}))
    assert bearer == {"X-Team": "a", "Authorization": "Bearer t0ken"}
    key = headers_of(ServerEntry.model_validate({**base, "auth_type": "api_key", "transport": "sse"}))
    assert key == {"X-Team": "a", "X-API-Key": "t0ken"}
    assert isinstance(ServerEntry.model_validate(base).auth_token, SecretStr)
