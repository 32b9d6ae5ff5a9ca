"""Foreign servers over HTTP: the official SDK's, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from nodes.mcp_tools.adapters.session import _remote
from nodes.mcp_tools.errors import ServerDown
from nodes.mcp_tools.models import ServerState
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.mcp_servers import free_port, http_peer, managed, text_of, until


@pytest.mark.parametrize("transport", ["streamable-http", "sse"])
async def test_a_server_that_went_away_and_came_back_is_used_again(tmp_path: Path, transport: str) -> None:
    port = free_port()
    kind = "sse" if transport == "sse" else "http"
    with http_peer(transport, port) as (url, _):
        entry = ServerEntry.model_validate({"url": url, "transport": kind})
        async with managed({"far": entry}, tmp_path, call_timeout_s=20) as manager:
            first = text_of(await manager.call("far", "pid", {}))
            assert text_of(await manager.call("far", "pid", {})) == first
    with http_peer(transport, port) as (url, _):
        async with managed({"far": entry}, tmp_path, call_timeout_s=20) as manager:
            assert text_of(await manager.call("far", "pid", {})) != first


async def test_a_session_that_the_server_has_forgotten_is_opened_again(tmp_path: Path) -> None:
    port = free_port()
    with http_peer(port=port) as (url, _):
        peer = http_peer(port=port)
        entry = ServerEntry.model_validate({"url": url})
        async with managed({"far": entry}, tmp_path, call_timeout_s=20) as manager:
            first = text_of(await manager.call("far", "pid", {}))
            await _replace(manager.status()["far"].state, int(first))
            with peer:
                assert text_of(await manager.call("far", "pid", {})) != first
                assert manager.status()["far"].restarts >= 1


async def _replace(state: ServerState, pid: int) -> None:
    from tests.kit.mcp_servers import is_running, kill

    assert state is ServerState.UP
    kill(pid)
    await until(lambda: not is_running(pid))


async def test_a_url_where_nothing_answers_is_down_with_a_reason(tmp_path: Path) -> None:
    entry = ServerEntry.model_validate({"url": f"http://127.0.0.1:{free_port()}/mcp"})
    async with managed({"far": entry}, tmp_path) as manager:
        with pytest.raises(ServerDown, match="nothing answers at its url"):
            await manager.tools("far")


def test_tokens_go_into_the_header_that_the_entry_names() -> None:
    base = {"url": "https://example.test/mcp", "headers": {"X-Team": "a"}, "auth_token": "t0ken"}
    bearer = _remote(ServerEntry.model_validate({**base, "auth_type": "bearer"}), {})
    assert bearer.get("headers") == {"X-Team": "a", "Authorization": "Bearer t0ken"}
    key = _remote(ServerEntry.model_validate({**base, "auth_type": "api_key", "transport": "sse"}), {})
    assert key.get("headers") == {"X-Team": "a", "X-API-Key": "t0ken"}
    assert isinstance(ServerEntry.model_validate(base).auth_token, SecretStr)
