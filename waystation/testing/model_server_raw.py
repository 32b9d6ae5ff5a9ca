"""Replies that the scripted model server sends byte by byte as they are."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Part = str | bytes | float | dict[str, Any] | None


def raw(
    *parts: Part,
    status: int = 200,
    content_type: str = "text/event-stream",
    headers: dict[str, str] | None = None,
    cut: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """A script whose parts are sent as they are, each in a write of its own.

    Args:
        parts: Text or bytes to send; a number of seconds to pause; a dict, sent
            as one `data:` event of JSON; None to wait until `release()`.
        cut: Drop the connection after the last part instead of ending the body.
    """
    return {
        "raw": [_packed(part) for part in parts],
        "raw_status": status,
        "content_type": content_type,
        "headers": headers or {},
        "cut": cut,
        **more,
    }


def _packed(part: Part) -> Any:
    if isinstance(part, bytes):
        return {"b64": base64.b64encode(part).decode()}
    return {"event": part} if isinstance(part, dict) else part


async def unpacked(
    script: dict[str, Any],
    event: Callable[[dict[str, Any]], bytes],
    released: Callable[[], Awaitable[Any]],
) -> AsyncIterator[bytes]:
    """The bytes of a `raw` script, with its pauses."""
    for part in script["raw"]:
        if part is None:
            await released()
        elif isinstance(part, int | float):
            await asyncio.sleep(part)
        elif isinstance(part, str):
            yield part.encode("utf-8", "surrogatepass")
        elif "b64" in part:
            yield base64.b64decode(part["b64"])
        else:
            yield event(part["event"])
    if script.get("cut"):
        raise ConnectionAbortedError
