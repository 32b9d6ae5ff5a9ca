"""The HTTP client of a session: what it does to single requests."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx
import orjson

from core.observability.tracing import TRACEPARENT

GOODBYE_SECONDS = 2.0


def http_client(
    headers: dict[str, str] | None = None,
    timeout: httpx.Timeout | None = None,
    auth: httpx.Auth | None = None,
) -> httpx.AsyncClient:
    """A client for the SDK's HTTP transports."""
    hooks: dict[str, list[Any]] = {"request": [_traced, _brief]}
    return httpx.AsyncClient(headers=headers, timeout=timeout, auth=auth, event_hooks=hooks)


async def _traced(request: httpx.Request) -> None:
    """Say in a header, for proxies and web frameworks, which trace the call's `_meta` names.

    The SDK sends a request from a task of its session, which has no caller's
    context: what the message itself says is the only thing that belongs to it.
    """
    if request.method != "POST" or TRACEPARENT.encode() not in request.content:
        return
    with suppress(orjson.JSONDecodeError, KeyError, TypeError):
        found = orjson.loads(request.content)["params"]["_meta"][TRACEPARENT]
        if isinstance(found, str):
            request.headers[TRACEPARENT] = found


async def _brief(request: httpx.Request) -> None:
    """A server that hangs is not waited for at the end of its session, which is replaced for just that."""
    if request.method == "DELETE":
        request.extensions["timeout"] = httpx.Timeout(GOODBYE_SECONDS).as_dict()
