"""What every HTTP call of this module shares: one answer as JSON, or one of our errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from nodes.rag.errors import SourceRefused, SourceTimedOut, SourceUnavailable

MAX_ANSWER_BYTES = 8 * 1024 * 1024


async def call_json(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    token: str = "",
    timeout: float,
    params: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Any:
    """The parsed JSON of a successful answer.

    Raises:
        SourceTimedOut: No whole answer within `timeout` seconds.
        SourceRefused: 401 or 403.
        SourceUnavailable: Anything else that is no usable answer. The text never holds the address.
    """
    headers = {"accept": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    request = http.build_request(method, url, params=params, json=body, headers=headers, timeout=timeout)
    try:
        response = await http.send(request, stream=True)
        try:
            raise_for_status(response.status_code)
            content = await _content(response)
        finally:
            await response.aclose()
    except httpx.TimeoutException as error:
        raise SourceTimedOut(f"no answer within {timeout:g} s") from error
    except httpx.HTTPError as error:
        raise SourceUnavailable(f"the connection failed ({type(error).__name__})") from error
    try:
        return orjson.loads(content)
    except ValueError as error:
        raise SourceUnavailable("the answer is not JSON") from error


def raise_for_status(status: int) -> None:
    if status in (401, 403):
        raise SourceRefused(f"access was refused (HTTP {status})")
    if status == 404:
        raise SourceUnavailable("the service does not know this address or collection (HTTP 404)")
    if not 200 <= status < 300:
        raise SourceUnavailable(f"the service answered HTTP {status}")


async def _content(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise SourceUnavailable(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
