"""What every HTTP call of this module shares: one answer as JSON, or one of our errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from core import correlation
from core.observability import inject
from nodes.rag.errors import (
    SourceBusy,
    SourceRefused,
    SourceRejected,
    SourceTimedOut,
    SourceUnavailable,
)
from nodes.rag.loops import HEADER, passed_on

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
        SourceRejected: Another status of the 400s.
        SourceBusy: 429.
        SourceUnavailable: Anything else that is no usable answer. The text never holds the address.
    """
    request = http.build_request(
        method, url, params=params, json=body, headers=_headers(token), timeout=timeout
    )
    try:
        response = await http.send(request, stream=True)
        try:
            raise_for_status(response.status_code, response.headers)
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


def _headers(token: str) -> dict[str, str]:
    """Who we are, and what the request belongs to on both sides."""
    headers = {"accept": "application/json", HEADER: passed_on()}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request_id = correlation.current().request_id
    if request_id:
        headers["x-request-id"] = request_id
    inject(headers)
    return headers


def raise_for_status(status: int, headers: Mapping[str, str]) -> None:
    """Pass for 2xx. Whether an error counts against the service is a matter of its type."""
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise SourceRefused(f"access was refused (HTTP {status})")
    if status == 404:
        raise SourceRejected("the service does not know this address or collection (HTTP 404)")
    if status == 429:
        raise SourceBusy("the service limits requests (HTTP 429)", retry_after=_retry_after(headers))
    if status == 508:
        raise SourceRejected("it has us for a source, and would ask us again (HTTP 508)")
    text = f"the service answered HTTP {status}"
    if 400 <= status < 500 and status != 408:
        raise SourceRejected(text, status=status)
    raise SourceUnavailable(text, retry_after=_retry_after(headers))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the other form of the header, a date, is left to our own pauses."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None


async def _content(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise SourceUnavailable(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
