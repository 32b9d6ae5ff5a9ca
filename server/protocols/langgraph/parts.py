"""A run as the parts of this wire, from its start or behind any of them, while it goes on and later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from graph.agent import Agent
from graph.runs.events import LoggedEvent
from graph.runs.record import RunRecord
from graph.runs.streams import WAITS, Handle
from graph.threads.history.errors import CheckpointNotFound
from server.protocols.langgraph.shapes import values_at_end
from server.protocols.langgraph.translating import TEXTS, Part, Translator
from server.protocols.langgraph.words import values_json

Place = tuple[int, int]
"""Number of an event, and of a part of it."""

Placed = tuple[Place, Part]
"""A part, and where it stands in its run."""

ALL = 9999
"""Behind every part of an event."""


def encoded(placed: Placed, before: bytes = b"") -> bytes:
    """A part as it is sent.

    Args:
        before: What stands in front of its place in its id.
    """
    (seq, place), (name, data) = placed
    return b"event: %b\r\ndata: %b\r\nid: %b%d-%d\r\n\r\n" % (name, data, before, seq, place)


class RunParts:
    """Reads a run.

    Args:
        place: The last part that the reader has.
    """

    def __init__(self, agent: Agent, run: Handle, modes: Sequence[str], *, place: Place = (0, 0)) -> None:
        self._agent = agent
        self._run = run
        self._modes = modes
        self._place = place

    async def read(self) -> AsyncIterator[list[Placed]]:
        """What the reader lacks, as much at once as there is."""
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

    async def _known(self, translator: Translator) -> AsyncIterator[list[Placed]]:
        """Lead the translator up to the reader's place; of the event there the parts that it lacks."""
        seq, part = self._place
        entries: Any = self._agent.runs.follow(self._run.id)
        async with aclosing(entries):
            async for found in entries:
                for entry in found:
                    if entry.seq <= seq:
                        parts = translator.parts(entry.event)
                        if entry.seq == seq and (missing := _placed(seq, parts, after=part)):
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

    async def _parts(self, translator: Translator, entry: LoggedEvent) -> list[Placed]:
        event = entry.event
        if event["type"] == "done" and not translator.steps and "values" in self._modes:
            values = await values_at_end(self._agent, self._run.record)
            translator.replace(values.pop("messages"), values)
        parts = translator.parts(event)
        if event.get("code") == WAITS:
            # No event of the run: it has the number of the one before, all of whose parts are told.
            return [((entry.seq, ALL), part) for part in parts]
        return _placed(entry.seq, parts)

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
            snapshot = await self._agent.threads.checkpoints.at(
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


def _placed(seq: int, parts: Sequence[Part], *, after: int = -1) -> list[Placed]:
    return [((seq, place), part) for place, part in enumerate(parts) if place > after]
