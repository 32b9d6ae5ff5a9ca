"""A load of turns: so many at a time, each timed and checked, by a client that costs little.

By hand on asyncio, as the model is: the client shares the machine with what it
measures. Answers are kept as they came, and read when the clock has stopped.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.systems.model import WORDS

MARK = WORDS[0].encode()
TURN_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer as it came.

    Args:
        status: 0 for a connection that broke.
        first: When the first token came, on the clock of `perf_counter`; 0 for never.
    """

    status: int
    body: bytes
    first: float = 0.0


class Line(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._held = bytearray()
        self._first = 0.0
        self._done: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        # A mark may come in two pieces.
        start = max(len(self._held) - len(MARK), 0)
        self._held += data
        if not self._first and self._held.find(MARK, start) >= 0:
            self._first = time.perf_counter()
        if self._done and not self._done.done() and whole(self._held):
            head, _, body = bytes(self._held).partition(b"\r\n\r\n")
            chunked = b"transfer-encoding: chunked" in head.lower()
            self._done.set_result(Answer(int(head[9:12]), joined(body) if chunked else body, self._first))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._done and not self._done.done():
            self._done.set_result(Answer(0, bytes(self._held), self._first))

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The whole answer to a request, however it ends."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", self._port)
            except OSError as error:
                return Answer(0, str(error).encode())
        assert self._transport
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(data)}"]
        if data:
            lines.append("content-type: application/json")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._held.clear()
        self._first = 0.0
        self._done = loop.create_future()
        self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        try:
            async with asyncio.timeout(TURN_SECONDS):
                return await self._done
        except TimeoutError:
            self.close()
            return Answer(0, b"no end in time")

    def close(self) -> None:
        if self._transport:
            self._transport.close()


def whole(held: bytearray) -> bool:
    """Whether an answer is there to its end."""
    end = held.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(held[:end]).lower()
    if b"transfer-encoding: chunked" in head:
        return held.endswith(b"\r\n0\r\n\r\n")
    return len(held) - end - 4 >= int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)


def joined(body: bytes) -> bytes:
    """A chunked body without its chunks."""
    parts, place = [], 0
    while (end := body.find(b"\r\n", place)) >= 0:
        size = int(body[place:end], 16)
        parts.append(body[end + 2 : end + 2 + size])
        place = end + 4 + size
        if not size:
            break
    return b"".join(parts)


class TurnFailed(Exception):
    """A stream ended with an error instead of an answer."""


@dataclass(frozen=True, slots=True)
class Took:
    """A turn: seconds to the first token and to the end, and what was said; None where it was refused.

    Args:
        refusal: Status and code of what was said instead; 0 for a broken connection or no end.
    """

    first: float
    whole: float
    said: str | None
    refusal: str = ""


@dataclass(slots=True)
class Slice:
    """What some turns took.

    Args:
        cpu: CPU seconds of the system's processes.
        stored: CPU seconds of its database server, where it has one.
        seconds: From the first request to the last answer.
        grown: Resident bytes that it had more at the peak than before.
        written: Bytes that its processes wrote.
    """

    turns: list[Took]
    cpu: float = 0.0
    stored: float = 0.0
    seconds: float = 0.0
    grown: int = 0
    wrong: list[str] = field(default_factory=list)
    written: int = 0

    @property
    def done(self) -> list[Took]:
        return [turn for turn in self.turns if turn.said is not None]

    @property
    def refused(self) -> Counter[str]:
        """How many turns were refused, by status and code."""
        return Counter(turn.refusal for turn in self.turns if turn.said is None)

    def cpu_ms(self) -> float:
        """A turn."""
        return self.cpu * 1000 / len(self.done) if self.done else math.nan

    def stored_ms(self) -> float:
        """A turn."""
        return self.stored * 1000 / len(self.done) if self.done else math.nan

    def written_kb(self) -> float:
        """A turn."""
        return self.written / 1024 / len(self.done) if self.done else math.nan

    def rate(self) -> float:
        """Turns a second."""
        return len(self.done) / self.seconds

    def first_ms(self, percent: int = 50) -> float:
        return at([turn.first for turn in self.done], percent) * 1000

    def whole_ms(self, percent: int = 50) -> float:
        return at([turn.whole for turn in self.done], percent) * 1000


def refusal(answer: Answer) -> str:
    """Status and code of an answer that is no turn; nothing for one that is."""
    if answer.status == 200:
        return ""
    code = re.search(rb'"code":\s*"(\w+)"', answer.body)
    said = code[1] if code else answer.body[:80] or b"broken off"
    return f"{answer.status} {said.decode(errors='replace')}"


def at(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed; not a number where there is none."""
    if not values:
        return math.nan
    return (
        statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
    )


Turn = Callable[[Line, str], Awaitable[Answer]]
Reading = Callable[[Answer], str]


async def load(port: int, turn: Turn, read: Reading, *, at_once: int, turns: int, label: str) -> list[Took]:
    """So many turns, so many at a time, each client on a thread of its own.

    Args:
        turn: Asks for a turn on a thread.
        read: What an answer says in the end, or TurnFailed.
        label: Begins the names of the threads.
    """
    left = iter(range(turns))
    kept: list[tuple[float, float, Answer]] = []

    async def client(number: int) -> None:
        line = Line(port)
        for _ in left:
            begun = time.perf_counter()
            answer = await turn(line, f"{label}{number}")
            kept.append((begun, time.perf_counter(), answer))
        line.close()

    await asyncio.gather(*(client(number) for number in range(at_once)))
    return [took(begun, ended, answer, read) for begun, ended, answer in kept]


def took(begun: float, ended: float, answer: Answer, read: Reading) -> Took:
    """A turn, from when it was asked for to its last byte."""
    refused = refusal(answer)
    try:
        said = None if refused else read(answer)
    except TurnFailed as failed:
        said, refused = None, f"failed with {failed}"
    return Took(answer.first - begun, ended - begun, said, refused)
