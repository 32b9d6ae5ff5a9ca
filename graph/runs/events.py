"""What a run tells, in order: the vocabulary, the log while the run lives, and its rows in the database."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, takewhile
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.database.engine import add_new, now_of
from core.database.outage import DatabaseUnavailable
from core.foreign import as_bytes
from graph.db.tables import run_events
from graph.runs.names import renewed

# Fields of each event beside seq, type and run_id.
VOCABULARY: dict[str, frozenset[str]] = {
    "run_started": frozenset({"thread_id", "attempt"}),
    "config": frozenset({"model", "tools", "sources"}),
    "documents": frozenset({"items", "failed"}),
    "answer": frozenset({"id"}),
    "token": frozenset({"delta"}),
    "reasoning": frozenset({"delta"}),
    "tool_call": frozenset({"id", "server", "tool", "arguments"}),
    "tool_progress": frozenset({"id", "progress", "total", "message"}),
    "tool_result": frozenset({"id", "status", "content", "duration_ms", "files"}),
    "interrupt": frozenset({"id", "kind"}),
    "step": frozenset({"name", "said", "writes"}),
    "file": frozenset({"key", "name", "media_type", "size"}),
    "usage": frozenset({"input_tokens", "output_tokens", "model", "cost"}),
    "notice": frozenset({"code", "detail"}),
    "error": frozenset({"code", "title", "detail", "retryable"}),
    "done": frozenset(
        {"answer", "status", "thread_id", "citations", "files", "tool_calls", "interrupts", "usage"}
    ),
}
LAST = frozenset({"done", "error"})
# Events of these types that follow each other are one text.
TEXTS = frozenset({"token", "reasoning"})

# What a log keeps in memory; the rest is read from the database.
TAIL_BYTES = 256 * 1024
# What a reader that is slower than its run has in memory, unless a single event is larger.
PAGE_CHARS = 64 * 1024
_BESIDE_THE_TEXT = 160
LARGE_CHARS = 4096


def topic_of(run_id: str) -> str:
    """What is signalled when a run has new events or has changed."""
    return f"run:{run_id}"


def topic_of_thread(thread_id: str) -> str:
    """What is signalled when a run of a thread begins or goes on, or its state was changed."""
    return f"thread:{thread_id}"


def line_of(event: dict[str, Any]) -> bytes:
    """The event as one line of JSON, whatever a model or a tool has put into it."""
    return as_bytes(event)


class LoggedEvent:
    """A numbered event. It is encoded once, however many read it.

    Attributes:
        kind: Its type.
        at: When it happened, in seconds of `time.monotonic`.
        ends_row: It was handed over as the last of a row, which may be stored, whether or not that is known.
    """

    __slots__ = ("_event", "_line", "at", "ends_row", "kind", "seq", "size")

    def __init__(self, event: dict[str, Any]) -> None:
        self._event: dict[str, Any] | None = event
        self.seq: int = event["seq"]
        self.kind: str = event["type"]
        self._line: bytes | None = None
        self.at = time.monotonic()
        self.ends_row = False
        text = event["type"] in TEXTS
        self.size = len(event["delta"]) + _BESIDE_THE_TEXT if text else len(self.line)

    @classmethod
    def of_line(cls, line: bytes, event: dict[str, Any] | None = None) -> LoggedEvent:
        """The entry whose `line` was this, in whatever process.

        Args:
            event: What stands in it, where that is known; the line alone is kept then.
        """
        entry = cls(orjson.loads(line) if event is None else event)
        entry._line = line
        if event is not None:
            entry.settle()
        return entry

    @property
    def event(self) -> dict[str, Any]:
        """Its fields."""
        return orjson.loads(self.line) if self._event is None else self._event

    @property
    def line(self) -> bytes:
        """The event as one line of JSON."""
        if self._line is None:
            # A copy of its own length: what the encoder gives holds a buffer of 4 KiB, however short it is.
            self._line = b"%b" % line_of(self.event)
        return self._line

    def settle(self) -> None:
        """Where there is a line, keep it alone: of a token it is a fourth of the memory."""
        if self._line is not None:
            self._event = None


class EventLog:
    """The events of one attempt of a run, numbered on from `floor`. Any number of readers.

    A reader has a position and nothing more: what a log keeps does not grow with
    those who read it, and what it does not keep any more stands in the database.

    Args:
        floor: The last number that earlier attempts may have told.
        limit: Numbers above it are not told before `extend`: a crash must not
            make a later attempt tell a number twice.
    """

    def __init__(self, run_id: str, *, floor: int = 0, limit: int = 1 << 62) -> None:
        self._run_id = run_id
        self._entries: deque[LoggedEvent] = deque()
        self._size = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._last = floor
        self._stored = floor
        # Readers that have less than this read from the database.
        self.floor = floor
        self.limit = limit
        self.abandoned = False

    @property
    def last(self) -> int:
        return self._last

    @property
    def last_kind(self) -> str:
        """The type of the newest event; "" where there is none."""
        return self._entries[-1].kind if self._entries else ""

    @property
    def closed(self) -> bool:
        return self.last_kind in LAST

    def add(self, event: dict[str, Any]) -> None:
        """Number the event and wake the readers. After the last event nothing is added."""
        if not self.closed and not self.abandoned:
            self.publish(self.numbered(event))

    def numbered(self, event: dict[str, Any]) -> LoggedEvent:
        """The event as the next entry would be, for whoever stores it before it is told."""
        return LoggedEvent({"seq": self._last + 1, "run_id": self._run_id, **event})

    def publish(self, entry: LoggedEvent) -> None:
        self._last = entry.seq
        self._entries.append(entry)
        self._size += entry.size
        self._wake()

    def abandon(self) -> None:
        """Another process goes on with the run: readers find its events in the database."""
        self.abandoned = True
        self._wake()

    def unstored(self) -> list[LoggedEvent]:
        """What the database does not have yet."""
        return [entry for entry in self._entries if entry.seq > self._stored]

    def stored(self, seq: int) -> None:
        """The database has everything up to this number; old entries may go."""
        before, self._stored = self._stored, max(self._stored, seq)
        for entry in reversed(self._entries):
            if entry.seq <= before:
                break
            if entry.seq <= seq:
                entry.settle()
        while self._size > TAIL_BYTES and len(self._entries) > 1 and self._entries[0].seq <= self._stored:
            gone = self._entries.popleft()
            self._size -= gone.size
            self.floor = gone.seq

    def extend(self, limit: int) -> None:
        """Numbers up to `limit` are reserved in the database now."""
        self.limit = max(self.limit, limit)
        self._wake()

    def keeps(self, after: int) -> bool:
        """True when everything above number `after` is here."""
        return after >= self.floor

    async def more(self, after: int) -> Sequence[LoggedEvent]:
        """What is here above number `after`, as soon as there is any: as much as a slow reader may hold.

        Empty when nothing more comes here: after the last event, when the run
        goes on elsewhere, or when the next event is only in the database, since
        the reader is so slow.
        """
        while not self.abandoned and self.keeps(after):
            if found := self.ahead(after):
                return found
            if self.closed and after >= self._last:
                break
            await self._woken()
        return ()

    async def _woken(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def ahead(self, place: int) -> Sequence[LoggedEvent]:
        """What may be told by now above the number `place`: as much as a slow reader may hold."""
        found, size = list[LoggedEvent](), 0
        for entry in reversed(self._entries):
            if entry.seq <= place:
                break
            if entry.seq <= self.limit:
                found.append(entry)
                size += entry.size
        found.reverse()
        return found if size <= PAGE_CHARS else _page(found)

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()


def _page(found: Sequence[LoggedEvent]) -> Sequence[LoggedEvent]:
    """The first of them, as many as make a page."""
    sizes = accumulate(entry.size for entry in found)
    return found[: max(sum(size <= PAGE_CHARS for size in sizes), 1)]


# Neighbouring tokens become one row up to this many characters.
JOINED_CHARS = 8_000
PAGE_ROWS = 200


class EventStore:
    """Reads and writes rows of `run_events`. Rights are the caller's business (see `Runs`)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, run_id: str, after: int, *, limit: int = PAGE_ROWS) -> list[LoggedEvent]:
        """The next events above number `after`: up to `limit` rows, and no more than a slow reader may hold.

        Tokens that were stored together come as one, with the number of the last
        of them; what the reader has of its text already is cut off.
        """
        newer = (run_events.c.run_id == run_id) & (run_events.c.seq > after)
        sizes = select(run_events.c.seq, func.length(run_events.c.data)).where(newer)
        async with self._engine.connect() as db:
            last = page_end((await db.execute(sizes.order_by(run_events.c.seq).limit(limit))).all())
            page = select(run_events).where(newer, run_events.c.seq <= last).order_by(run_events.c.seq)
            return [_entry(row, after) for row in (await db.execute(page)).mappings()] if last else []

    async def cut_answer(self, run_id: str) -> str:
        """The text of an answer that was cut: tokens since the last thing that was no token."""
        async with self._engine.connect() as db:
            return await cut_answer(db, run_id)

    async def told(self, run_id: str, *kinds: str) -> list[dict[str, Any]]:
        """All events of these types that the run's attempts have told, in order; tokens come joined."""
        mine = select(run_events.c.data).where(run_events.c.run_id == run_id, run_events.c.type.in_(kinds))
        async with self._engine.connect() as db:
            rows = (await db.execute(mine.order_by(run_events.c.seq))).scalars().all()
        return [renewed(orjson.loads(data)) for data in rows]

    async def text_of_run(self, run_id: str) -> str:
        """All text that the run's attempts have told, in order."""
        mine = select(run_events.c.data).where(run_events.c.run_id == run_id, run_events.c.type == "token")
        async with self._engine.connect() as db:
            return "".join(map(_delta, (await db.execute(mine.order_by(run_events.c.seq))).scalars()))

    async def tell_end(self, run_id: str, log: EventLog, place: int) -> None:
        """Close a log whose end was stored unheard; where there is none, it is abandoned.

        What was told above number `place` since then may have the number of the stored end. Whoever has heard
        it would look above that, and never hear the end.
        """
        with suppress(DatabaseUnavailable):
            found = await self.read(run_id, place)
            if found and found[-1].kind in LAST and found[-1].seq <= log.last:
                log.extend(log.last + 1)
                log.publish(LoggedEvent({**found[-1].event, "seq": log.last + 1}))
        if not log.closed:
            log.abandon()


async def cut_answer(db: AsyncConnection, run_id: str) -> str:
    """See `EventStore.cut_answer`."""
    query = select(run_events.c.type, run_events.c.data).where(run_events.c.run_id == run_id)
    rows = await db.execute(query.order_by(run_events.c.seq.desc()))
    parts = [_delta(data) for _, data in takewhile(lambda row: row[0] == "token", rows)]
    return "".join(reversed(parts))


def _delta(data: str) -> str:
    return str(renewed({"type": "token", **orjson.loads(data)})["delta"])


def rows_of_events(thread_id: str, entries: Sequence[LoggedEvent], *, now: float) -> list[dict[str, Any]]:
    """Events as rows, neighbouring tokens as one. `now` is the database's clock, read just before."""
    # One look at our own clock for all: between two, on a busy machine, a later event would seem the earlier.
    shift = now - time.monotonic()
    return [_row(thread_id, group, shift=shift) for group in _groups(entries)]


async def store(db: AsyncConnection, thread_id: str, entries: Sequence[LoggedEvent]) -> None:
    """Add events, neighbouring tokens as one row."""
    # Where nobody heard whether they were stored, they are stored again.
    await add_new(db, run_events, rows_of_events(thread_id, entries, now=now_of(db)))


def _groups(entries: Sequence[LoggedEvent]) -> Iterator[list[LoggedEvent]]:
    group: list[LoggedEvent] = []
    chars = 0
    for entry in entries:
        kind = entry.event["type"]
        before = group[-1] if group else None
        # Handed over a second time it makes the same rows: others beside them would tell their text twice.
        joins = before and not before.ends_row and kind in TEXTS and kind == before.event["type"]
        if group and not (joins and chars + entry.size < JOINED_CHARS):
            yield group
            group, chars = [], 0
        group.append(entry)
        chars += entry.size
    if group:
        yield group


def page_end(sizes: Sequence[Any], most: int = PAGE_CHARS) -> int:
    """The last number of a page that begins with the first row, of (number, length); 0 when there is none."""
    last, chars = 0, 0
    for seq, length in sizes:
        chars += length
        if last and chars > most:
            break
        last = seq
    return last


def _row(thread_id: str, group: Sequence[LoggedEvent], *, shift: float) -> dict[str, Any]:
    first, last = group[0], group[-1]
    event, line, cuts = last.event, last.line, None
    last.ends_row = True
    if len(group) > 1:
        texts = [entry.event["delta"] for entry in group]
        line = line_of({**event, "delta": "".join(texts)})
        cuts = [len(text) for text in texts]
    return {
        "run_id": event["run_id"],
        "seq": last.seq,
        "first": first.seq,
        "thread_id": thread_id,
        "type": event["type"],
        # PostgreSQL holds no NUL in text; JSON can spell it, and orjson does so itself.
        "data": line.decode(),
        "cuts": cuts,
        # It is stored a little behind the turn, by the database's clock.
        "created_at": shift + first.at,
    }


def _entry(row: Any, after: int) -> LoggedEvent:
    stored = orjson.loads(row["data"])
    event = renewed(stored)
    if row["cuts"] and row["first"] <= after:
        known = sum(row["cuts"][: after - row["first"] + 1])
        event["delta"] = event["delta"][known:]
    elif event is stored and len(row["data"]) > LARGE_CHARS:
        # As it leaves again: hundreds who read slowly would have each large one twice.
        return LoggedEvent.of_line(row["data"].encode(), stored)
    return LoggedEvent(event)
