"""LangServe's handlers with what they lack: early errors as problem+json, and an ear for a dropped line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from langserve import APIHandler

from server.errors import CLIENT_WENT_AWAY
from server.sse import disconnected


def add_waiting_routes(router: APIRouter, path: str, handler: APIHandler, checks: list[Any]) -> None:
    """Put our versions of LangServe's working routes before LangServe's own, which stay for the docs."""
    plain = {"invoke": handler.invoke, "batch": handler.batch}
    streams = {
        "stream": handler.stream,
        "stream_log": handler.stream_log,
        "stream_events": handler.astream_events,
    }
    for name, answer in plain.items():
        router.post(f"{path}/{name}", include_in_schema=False, dependencies=checks)(_plain(answer))
    for name, answer in streams.items():
        router.post(f"{path}/{name}", include_in_schema=False, dependencies=checks)(_stream(answer))


def _plain(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        return await while_connected(request, answer(request))

    return route


def _stream(answer: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        return await started(answer(request))

    return route


async def while_connected(request: Request, work: Awaitable[Response]) -> Response:
    """The answer of `work`; cancels it when the client goes away, which LangServe's invoke does not."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return Response(status_code=CLIENT_WENT_AWAY)
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def started(work: Awaitable[Any]) -> Response:
    """A streaming answer that has begun.

    LangServe sends its 200 before it looks at the first item and masks whatever
    goes wrong. Here the first item is taken before the status goes out, so an
    error of the start is raised as itself.
    """
    response: Any = await work
    items: AsyncIterator[dict[str, Any]] = response.body_iterator
    first = await anext(items)
    if first.get("event") == "error":
        await anext(items)  # raises what LangServe has masked
    response.body_iterator = _joined(first, items)
    found: Response = response
    return found


async def _joined(first: dict[str, Any], rest: Any) -> AsyncIterator[dict[str, Any]]:
    try:
        yield first
        async for item in rest:
            yield item
    finally:
        # LangServe's generator answers a close with one more item, which Python
        # forbids; it ends properly when it is cancelled and then asked again.
        with contextlib.suppress(StopAsyncIteration, asyncio.CancelledError):
            await rest.athrow(asyncio.CancelledError())
            await anext(rest)
