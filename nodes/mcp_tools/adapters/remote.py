"""Opens sessions with servers over HTTP; the one file that knows langchain-mcp-adapters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
from langchain_mcp_adapters.sessions import (
    SSEConnection,
    StreamableHttpConnection,
    create_session,
)
from mcp import ClientSession

from nodes.mcp_tools.adapters.hearing import Hearing
from nodes.mcp_tools.adapters.http import McpClient
from nodes.mcp_tools.errors import StatusRefused
from nodes.mcp_tools.reasons import root_of
from nodes.mcp_tools.settings import ServerEntry

# With these an endpoint of the older transport refuses a message of the newer one.
_OLDER = frozenset({400, 404, 405})
_QUIET = 24 * 3600.0  # a session may be silent for long; calls have a time limit of their own


def open_remote(
    entry: ServerEntry,
    callbacks: dict[str, Any],
    hearing: Hearing,
    lost: Callable[[str], None],
    limit: int,
) -> AbstractAsyncContextManager[ClientSession]:
    """A session of the SDK that has not been initialised.

    Args:
        limit: Longest message that is read, in bytes.
    """
    in_body = entry.transport != "sse"

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        return McpClient(hearing, lost, limit, in_body=in_body, headers=headers, timeout=timeout, auth=auth)

    url, headers = entry.url or "", headers_of(entry)
    if entry.transport == "sse":
        older = SSEConnection(
            transport="sse",
            url=url,
            headers=headers,
            sse_read_timeout=_QUIET,
            session_kwargs=callbacks,
            httpx_client_factory=client,
        )
        return create_session(older)
    newer = StreamableHttpConnection(
        transport="streamable_http",
        url=url,
        headers=headers,
        sse_read_timeout=_QUIET,
        session_kwargs=callbacks,
        httpx_client_factory=client,
    )
    return create_session(newer)


def headers_of(entry: ServerEntry) -> dict[str, str]:
    """What is sent with every request: the entry's headers and its credentials."""
    headers = {key: value.get_secret_value() for key, value in (entry.headers or {}).items()}
    if entry.auth_token is not None:
        token = entry.auth_token.get_secret_value()
        if entry.auth_type == "api_key":
            headers[entry.auth_header] = token
        else:
            headers["Authorization"] = f"Bearer {token}"
    return headers


def speaks_sse(error: Exception) -> bool:
    """Whether the failure to open a session may mean that the server has the older transport."""
    cause = root_of(error)
    return isinstance(cause, StatusRefused) and cause.status in _OLDER
