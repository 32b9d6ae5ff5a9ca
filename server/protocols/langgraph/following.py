"""A thread's own stream: its runs one after the other, as they begin, and changes of its state.

Nothing is kept for a reader. An id says when its run began, which run it is, and where the part stands in it:
whoever comes back with it gets the rest of that run and all that began behind it, from any process.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import Header, Query, Response

from core.access import Principal
from core.foreign import as_bytes
from core.settings.platform import ServerSettings
from core.signals import Signals
from graph.agent import Agent
from graph.errors import RunNotFound, ThreadNotFound
from graph.runs.events import topic_of_thread
from graph.runs.record import RunRecord
from graph.runs.streams import LOOK_AGAIN_SECONDS
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.protocols.langgraph.parts import Place, Placed, RunParts, encoded
from server.protocols.langgraph.reading import Id, listed
from server.protocols.langgraph.shapes import state_json
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent
from server.sse import EventResponse

router = wire_router("langgraph", "/langgraph")

THREAD_MODES = frozenset({"run_modes", "lifecycle", "state_update"})
# What a run tells here: in which modes it was asked for is not kept.
_RUN_MODES = ("values", "updates", "messages-tuple", "custom")
# How far back a reader may stand: runs of a thread that begin are looked for among so many.
_LOOKED_AT = 50
# The place behind every part of an event.
_OVER = 9999
_ID = re.compile(r"(\d{1,18})\.([A-Za-z0-9_-]{1,64})\.(\d{1,15})-(\d{1,4})")


@dataclass(frozen=True, slots=True)
class ThreadPosition:
    """Where a reader stands: when its run began, in millionths of a second, which run, and which part."""

    began: int = 0
    run: str = ""
    place: Place = (0, 0)

    @property
    def before(self) -> bytes:
        """What an id has in front of the part."""
        return f"{self.began}.{self.run}.".encode()


def spot_of(last_event_id: str | None) -> ThreadPosition | None:
    """The reader's; None from now on, and the first for "-1".

    Raises:
        InvalidRequest: It is no id of ours.
    """
    if not last_event_id:
        return None
    if last_event_id == "-1":
        return ThreadPosition()
    found = _ID.fullmatch(last_event_id)
    if found is None:
        raise InvalidRequest(
            f"Last-Event-ID: '{last_event_id[:40]}' is no id of this stream; send the last that came, or -1"
        )
    return ThreadPosition(int(found[1]), found[2], (int(found[3]), int(found[4])))


def thread_modes(given: Sequence[str]) -> list[str]:
    """What of a thread is told, its runs by default.

    Raises:
        InvalidRequest: There is no such mode.
    """
    modes = [mode.strip() for one in listed(given) for mode in one.split(",") if mode.strip()]
    for mode in modes:
        if mode not in THREAD_MODES:
            raise InvalidRequest(
                f"stream_mode: no '{mode[:40]}'; use one of {', '.join(sorted(THREAD_MODES))}"
            )
    return modes or ["run_modes"]


@router.get("/threads/{thread_id}/stream")
async def join(
    thread_id: Id,
    agent: OpenAgent,
    who: Caller,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """What goes on there and all that comes, or what came behind the part that is named."""
    modes, spot = thread_modes(stream_mode or ()), spot_of(last)
    await agent.threads.get(who, thread_id)
    signals = await agent.container.get(Signals)
    return ThreadStream(agent, who, thread_id, modes=modes, spot=spot, signals=signals)


class ThreadStream(EventResponse):
    """Goes on until its reader has gone, the thread is deleted, or the service stops."""

    def __init__(
        self,
        agent: Agent,
        who: Principal,
        thread_id: str,
        *,
        modes: Sequence[str],
        spot: ThreadPosition | None,
        signals: Signals,
    ) -> None:
        asked = "&".join(f"stream_mode={mode}" for mode in modes)
        # Relative to the mount: clients put their address in front.
        headers = {"Location": f"/threads/{thread_id}/stream?{asked}", "X-Thread-ID": thread_id}
        super().__init__(headers, stall=agent.book[ServerSettings].stream_stall_seconds)
        self._agent, self._who, self._thread = agent, who, thread_id
        self._modes = frozenset(modes)
        self._spot = spot
        self._signals = signals
        # How many attempts of the reader's run have been told to their end.
        self._attempts = 0
        self._checkpoint: str | None = None

    def ending(self) -> list[bytes]:
        return []

    async def _entries(self) -> AsyncIterator[list[bytes]]:
        with self._signals.listen(topic_of_thread(self._thread)) as ear:
            self._checkpoint = await self._newest()
            try:
                self._spot = self._spot or await self._now()
                while not self._agent.draining:
                    async for told in self._news():
                        yield told
                    await ear.heard(LOOK_AGAIN_SECONDS)
                    await self._agent.threads.get(self._who, self._thread)
            except ThreadNotFound:
                return

    async def _newest(self) -> str | None:
        if "state_update" not in self._modes:
            return None
        return await self._agent.threads.checkpoints.newest(self._who, self._thread)

    async def _now(self) -> ThreadPosition:
        """In front of the run that goes on, else behind the last one."""
        begun = await self._begun()
        if not begun:
            return ThreadPosition()
        last = begun[-1]
        if last.active:
            return ThreadPosition(_began(last) - 1)
        self._attempts = last.attempts
        return ThreadPosition(_began(last), last.id, (last.seq_limit, _OVER))

    async def _begun(self) -> list[RunRecord]:
        """Runs of the thread that have begun, in that order."""
        found = await self._agent.runs.list(self._who, thread_id=self._thread, limit=_LOOKED_AT)
        return sorted((run for run in found if run.started_at), key=lambda run: (_began(run), run.id))

    async def _news(self) -> AsyncIterator[list[bytes]]:
        """All that has come by now; of a run that goes on, up to its end."""
        async for told in self._changed():
            yield told
        while (record := await self._next()) is not None:
            async for told in self._told(record):
                yield told
            if self._agent.draining:
                return

    async def _changed(self) -> AsyncIterator[list[bytes]]:
        """The state, where somebody has changed it."""
        newest = await self._newest()
        if newest is None or newest == self._checkpoint:
            return
        self._checkpoint = newest
        checkpoints = self._agent.threads.checkpoints
        snapshot = await checkpoints.at(self._who, self._thread, newest)
        if (snapshot.metadata or {}).get("source") == "update":
            state = state_json(self._thread, snapshot, await checkpoints.before(self._thread, snapshot))
            data = as_bytes({"state": state, "thread_id": self._thread})
            yield [b"event: state_update\r\ndata: %b\r\n\r\n" % data]

    async def _next(self) -> RunRecord | None:
        """The reader's run where it has gone on, else the first that began behind it."""
        spot = self._spot
        assert spot is not None  # noqa: S101 - it was found before
        for record in await self._begun():
            if record.id == spot.run and record.attempts > self._attempts:
                return record
            if (_began(record), record.id) > (spot.began, spot.run):
                self._spot, self._attempts = ThreadPosition(_began(record), record.id), 0
                return record
        return None

    async def _told(self, record: RunRecord) -> AsyncIterator[list[bytes]]:
        spot = self._spot
        assert spot is not None  # noqa: S101 - it was found before
        self._attempts = record.attempts
        try:
            run = await self._agent.runs.handle(self._who, record.id)
        except RunNotFound:
            return
        modes = _RUN_MODES if "run_modes" in self._modes else ()
        place, is_new = spot.place, spot.place[1] < _OVER
        async for parts in RunParts(self._agent, run, modes, place=place).read():
            place, is_new = parts[-1][0], True
            self._spot = ThreadPosition(spot.began, spot.run, place)
            if shown := [encoded(part, spot.before) for part in parts if self._shows(part)]:
                yield shown
        if is_new and await self._is_over(record.id):
            self._spot = ThreadPosition(spot.began, spot.run, (place[0], _OVER))
            done = (b"metadata", orjson.dumps({"status": "run_done", "run_id": record.id}))
            if self._modes & {"run_modes", "lifecycle"}:
                yield [encoded((self._spot.place, done), spot.before)]

    def _shows(self, placed: Placed) -> bool:
        name = placed[1][0]
        return "run_modes" in self._modes or (name == b"metadata" and "lifecycle" in self._modes)

    async def _is_over(self, run_id: str) -> bool:
        try:
            return not (await self._agent.runs.get(self._who, run_id)).active
        except RunNotFound:
            return True


def _began(record: RunRecord) -> int:
    return int((record.started_at or 0) * 1_000_000)
