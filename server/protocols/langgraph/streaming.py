"""Streams and waiting answers of this wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import Response
from starlette.responses import StreamingResponse

from core.errors import WaystationError
from core.foreign import as_bytes
from graph.agent import Agent
from graph.runs.events import LoggedEvent
from graph.runs.record import RunRecord
from graph.runs.streams import Handle
from graph.threads.history.errors import CheckpointNotFound
from server.errors import InvalidRequest
from server.protocols.langgraph.shapes import final_values
from server.protocols.langgraph.translating import TEXTS, Part, Translator
from server.protocols.langgraph.words import error_json, values_json
from server.sse import HEARTBEAT_SECONDS, RunResponse

END = b"event: end\r\ndata: null\r\n\r\n"
_ID = re.compile(r"(\d{1,15})(?:-(\d{1,4}))?")

Place = tuple[int, int]
"""Number of an event, and of a part of it."""


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
        left: Called when the reader has gone, in place of what its run says of that.
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
        self._agent = agent
        self._modes = modes
        self._place = place
        self._finished = finished

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._finished()

    def encoded(self, found: Any) -> Iterable[bytes]:
        parts: list[bytes] = found
        return parts

    def ending(self) -> Iterable[bytes]:
        return [END]

    async def _entries(self) -> AsyncIterator[list[bytes]]:
        translator = await self._translator()
        if self._place[0]:
            known: Any = self._known(translator)
            async for parts in known:
                yield parts
        rest: Any = self._run.entries(self._place[0] or self._run.since)
        async with aclosing(rest):
            async for found in rest:
                if told := [part for entry in found for part in await self._parts(translator, entry)]:
                    yield told

    async def _known(self, translator: Translator) -> AsyncIterator[list[bytes]]:
        """Lead the translator up to the reader's place; of the event there the parts that it lacks."""
        seq, part = self._place
        entries: Any = self._agent.runs.follow(self._run.id)
        async with aclosing(entries):
            async for found in entries:
                for entry in found:
                    if entry.seq <= seq:
                        parts = translator.parts(entry.event)
                        if entry.seq == seq and (missing := _encoded(seq, parts, after=part)):
                            yield missing
                    elif entry.kind in TEXTS and (text := await self._before(entry)):
                        # Pieces that were stored as one: the reader has the first of them.
                        translator.parts({**entry.event, "delta": text})
                if found[-1].seq >= seq:
                    return

    async def _before(self, entry: LoggedEvent) -> str:
        rest: Any = self._agent.runs.follow(self._run.id, self._place[0])
        async with aclosing(rest):
            async for found in rest:
                whole, new = str(entry.event["delta"]), found[0]
                if new.seq == entry.seq:
                    return whole[: len(whole) - len(str(new.event["delta"]))]
                return whole if new.seq > entry.seq else ""
        return ""

    async def _parts(self, translator: Translator, entry: LoggedEvent) -> list[bytes]:
        event = entry.event
        if event["type"] == "done" and not translator.steps and "values" in self._modes:
            record = self._run.record
            now = await self._agent.threads.course.at(record.request.principal, record.thread_id)
            values = values_json(now.values)
            translator.replace(values.pop("messages"), values)
        return _encoded(entry.seq, translator.parts(event))

    async def _translator(self) -> Translator:
        record = self._run.record
        model, tools = await self._agent.step("model"), await self._agent.step("tools")
        if "values" not in self._modes:
            return Translator(record.id, record.thread_id, self._modes, model=model, tools=tools)
        before, others = await self._values_before(record)
        said: dict[str, Any] = {
            "content": record.request.message,
            "additional_kwargs": {},
            "response_metadata": {},
            "type": "human",
            "name": None,
            "id": record.message_id,
        }
        return Translator(
            record.id,
            record.thread_id,
            self._modes,
            model=model,
            tools=tools,
            before=before,
            others=others,
            said=said if record.message_id and not self._run.since else None,
        )

    async def _values_before(self, record: RunRecord) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The messages before the run's own; where an answer goes on with it, all that there are."""
        who, checkpoint = record.request.principal, record.request.checkpoint
        try:
            snapshot = await self._agent.threads.course.at(
                who, record.thread_id, None if self._run.since else checkpoint
            )
        except CheckpointNotFound:
            return [], {}
        values = values_json(snapshot.values)
        messages: list[dict[str, Any]] = values.pop("messages")
        if self._run.since or checkpoint:
            return messages, values
        places = [place for place, message in enumerate(messages) if message["id"] == record.message_id]
        return messages[: places[0]] if places else messages, values


def _encoded(seq: int, parts: Sequence[Part], *, after: int = -1) -> list[bytes]:
    return [
        b"event: %b\r\ndata: %b\r\nid: %d-%d\r\n\r\n" % (name, data, seq, place)
        for place, (name, data) in enumerate(parts)
        if place > after
    ]


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
