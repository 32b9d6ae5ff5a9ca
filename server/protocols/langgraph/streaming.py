"""Streams and waiting answers of this wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from fastapi import Response
from starlette.responses import StreamingResponse

from core.errors import WaystationError
from core.foreign import as_bytes
from graph.agent import Agent
from graph.runs.streams import Handle
from server.errors import InvalidRequest
from server.protocols.langgraph.parts import Place, Placed, RunParts, encoded
from server.protocols.langgraph.shapes import final_values
from server.protocols.langgraph.words import error_json
from server.sse import HEARTBEAT_SECONDS, RunResponse

END = b"event: end\r\ndata: null\r\n\r\n"
_ID = re.compile(r"(\d{1,15})(?:-(\d{1,4}))?")


def place_of(last_event_id: str | None) -> Place:
    """Behind which part a reader goes on; "-1" and nothing mean from the start.

    Raises:
        InvalidRequest: It is no id of ours.
    """
    if not last_event_id or last_event_id == "-1":
        return (0, 0)
    found = _ID.fullmatch(last_event_id)
    if found is None:
        raise InvalidRequest(
            f"Last-Event-ID: '{last_event_id[:40]}' is no id of a part; send the last `id:` that came, or -1"
        )
    # A bare number: everything of that event has come.
    return int(found[1]), int(found[2]) if found[2] else 10_000


class WireResponse(RunResponse):
    """A run's parts as server-sent events.

    Args:
        place: The last part that the reader has.
        finished: Called when all is sent, or the reader has gone.
    """

    def __init__(
        self,
        agent: Agent,
        run: Handle,
        modes: Sequence[str],
        *,
        place: Place = (0, 0),
        stall: float,
        headers: dict[str, str],
        finished: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(run, stall=stall)
        self.headers.update(headers)
        self._parts = RunParts(agent, run, modes, place=place)
        self._finished = finished

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._finished()

    def encoded(self, found: Any) -> Iterable[bytes]:
        placed: list[Placed] = found
        return map(encoded, placed)

    def ending(self) -> Iterable[bytes]:
        return [END]

    def _entries(self) -> AsyncIterator[Any]:
        return self._parts.read()


def waiting(
    agent: Agent, run: Handle, headers: dict[str, str], finished: Callable[[], object] = lambda: None
) -> Response:
    """The values at the end of a run, as soon as they are there; blanks meanwhile keep the line open."""

    async def body() -> AsyncIterator[bytes]:
        ending = asyncio.ensure_future(_ended(agent, run))
        try:
            while not (await asyncio.wait([ending], timeout=HEARTBEAT_SECONDS))[0]:
                yield b"\n"
            yield ending.result()
        finally:
            ending.cancel()
            run.leave()
            finished()

    return StreamingResponse(body(), media_type="application/json", headers=headers)


async def _ended(agent: Agent, run: Handle) -> bytes:
    try:
        await run.result()
        record = await agent.runs.get(run.request.principal, run.id)
        return as_bytes(await final_values(agent, record))
    except WaystationError as error:
        return as_bytes({"__error__": error_json({"code": error.code, "detail": error.detail})})
