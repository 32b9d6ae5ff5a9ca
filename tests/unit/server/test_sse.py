"""A run as server-sent events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import pytest
from starlette.types import Message, Scope

from core.access import Principal
from graph.runs.events import EventLog, LoggedEvent
from graph.runs.names import former
from graph.runs.record import RunRecord, TurnRequest
from graph.runs.streams import Handle
from server.sse import PIECE_BYTES, RunResponse, disconnected, encode, pieces_of

SCOPE: Scope = {"type": "http"}
PATIENCE_S = 30.0


class Wire:
    """An ASGI connection whose client stays until it is told to go, and reads unless it is frozen."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.status = 0
        self.complete = False
        self.headers: dict[bytes, bytes] = {}
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self._news = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        assert not self.complete, "nothing follows the end"
        await self.reads.wait()
        self.sent.append(message["body"])
        self.complete = not message["more_body"]
        self._news.set()
        # As a socket does, which gives others their turn.
        await asyncio.sleep(0)

    async def until(self, piece: bytes, *, times: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.text.count(piece) < times:
                self._news.clear()
                await self._news.wait()

    @property
    def text(self) -> bytes:
        return b"".join(self.sent)


class OneRun:
    """A run service with one run, whose log the test fills."""

    def __init__(self, on_disconnect: Literal["cancel", "continue"] = "cancel") -> None:
        self.log = EventLog("r1")
        self.abandoned = asyncio.Event()
        request = TurnRequest(Principal("ada"), "hi", on_disconnect=on_disconnect)
        values: dict[str, Any] = dict.fromkeys(RunRecord.__dataclass_fields__)
        self.record = RunRecord(**{**values, "id": "r1", "thread_id": "t1", "request": request})

    async def follow(self, run_id: str, after: int) -> AsyncIterator[Sequence[LoggedEvent]]:
        while found := await self.log.more(after):
            after = found[-1].seq
            yield found

    def abandon(self, record: RunRecord) -> None:
        self.abandoned.set()

    def handle(self, *, mine: bool = True) -> Handle:
        runs: Any = self
        return Handle(runs, self.record, mine=mine)

    def say(self, *texts: str) -> None:
        for text in texts:
            self.log.add({"type": "token", "delta": text})

    def end(self) -> None:
        self.log.add({"type": "done"})


@pytest.fixture
def run() -> OneRun:
    return OneRun()


def serve(run: OneRun, wire: Wire, **options: Any) -> asyncio.Future[None]:
    mine = options.pop("mine", True)
    return asyncio.ensure_future(
        RunResponse(run.handle(mine=mine), **options)(SCOPE, wire.receive, wire.send)
    )


async def over(serving: asyncio.Future[None]) -> None:
    await asyncio.wait_for(serving, PATIENCE_S)


async def test_every_event_is_one_line_of_json_under_its_number(run: OneRun) -> None:
    wire = Wire()
    run.say("one\ntwo")
    run.end()
    await over(serve(run, wire))
    assert wire.text == (
        b'id: 1\nevent: data\ndata: {"seq":1,"run_id":"r1","type":"token","delta":"one\\ntwo"}\n\n'
        b'id: 2\nevent: data\ndata: {"seq":2,"run_id":"r1","type":"done"}\n\n'
        b"event: end\n\n"
    )
    assert (wire.status, wire.complete) == (200, True)
    assert not run.abandoned.is_set()


async def test_readers_of_the_former_names_get_those_and_nobody_gets_what_only_a_wire_needs(
    run: OneRun,
) -> None:
    wire, old = Wire(), Wire()
    run.say("one")
    run.log.add({"type": "step", "name": "call_model", "said": [{"content": "one"}], "writes": {}})
    run.log.add({"type": "notice", "code": "n", "detail": "so"})
    run.log.add({"type": "done", "interrupts": [{"id": "i", "detail": "May it?"}]})
    await over(serve(run, wire))
    await over(serve(run, old, renamed=former))
    assert b'"type":"step"' not in wire.text + old.text
    assert b'"text"' not in wire.text
    assert b'"type":"token","text":"one"' in old.text
    assert b'"code":"n","text":"so"' in old.text
    assert b'"interrupts":[{"id":"i","text":"May it?"}]' in old.text


async def test_what_is_told_in_one_step_of_the_loop_leaves_in_one_send(run: OneRun) -> None:
    wire = Wire()
    serving = serve(run, wire)
    run.say("a", "b", "c")
    await wire.until(b"id: 3\n")
    run.say("d", "e")
    await wire.until(b"id: 5\n")
    run.end()
    await over(serving)
    assert [sent.count(b"id: ") for sent in wire.sent] == [3, 2, 1, 0]


@pytest.mark.parametrize("sizes", [[10] * 3, [PIECE_BYTES * 2, 10], [10, PIECE_BYTES - 200, 10], []])
def test_events_are_joined_up_to_a_piece_and_none_is_lost(sizes: list[int]) -> None:
    log = EventLog("r1")
    for size in sizes:
        log.add({"type": "token", "delta": "x" * size})
    entries = log.unstored()
    pieces = list(pieces_of(map(encode, entries)))
    assert b"".join(pieces) == b"".join(map(encode, entries))
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)


async def test_a_stream_has_one_timer_however_much_it_sends(run: OneRun) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    wire = Wire()
    real = loop.call_at

    def counted(when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return real(when, *args, **options)

    serving = serve(run, wire)
    run.say("x")
    await wire.until(b"id: 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_at", counted)
        for n in range(50):
            run.say("x")
            for _ in range(10):
                await asyncio.sleep(0)
            assert b"id: %d\n" % (n + 2) in wire.text
    run.end()
    await over(serving)
    assert timers == []


async def test_proxies_are_told_not_to_hold_it_back_and_clients_which_run_it_is(run: OneRun) -> None:
    wire = Wire()
    run.end()
    await over(serve(run, wire))
    assert wire.headers[b"x-accel-buffering"] == b"no"
    assert wire.headers[b"cache-control"] == b"no-store"
    assert wire.headers[b"x-run-id"] == b"r1"
    assert wire.headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in wire.headers


async def test_a_reader_may_begin_behind_what_it_has(run: OneRun) -> None:
    wire = Wire()
    run.say("a")
    run.end()
    await over(serve(run, wire, after=1))
    assert wire.sent[0].startswith(b"id: 2\n")


async def test_a_silent_run_is_kept_open_with_comments(run: OneRun) -> None:
    wire = Wire()
    serving = serve(run, wire, heartbeat=0.001)
    await wire.until(b": still here\n\n", times=3)
    run.end()
    await over(serving)


async def test_a_heartbeat_never_stands_within_an_event_nor_behind_the_end(run: OneRun) -> None:
    wire = Wire()
    serving = serve(run, wire, heartbeat=0)
    for n in range(20):
        run.say(f"{n}" * PIECE_BYTES * 2)
        await wire.until(b": still here\n\n", times=3 * n + 1)
    run.end()
    await over(serving)
    blocks = wire.text.decode().split("\n\n")[:-1]
    beats = [block for block in blocks if block == ": still here"]
    events = [block for block in blocks if block.startswith("id: ")]
    assert len(beats) + len(events) + 1 == len(blocks)
    assert blocks[-1] == "event: end"
    assert [int(re.findall(r"^id: (\d+)", event)[0]) for event in events] == list(range(1, 22))


async def test_a_large_event_leaves_in_pieces(run: OneRun) -> None:
    wire = Wire()
    run.say("x" * (3 * PIECE_BYTES + 10))
    run.end()
    await over(serve(run, wire))
    assert max(len(piece) for piece in wire.sent) <= PIECE_BYTES
    assert wire.text.startswith(encode(next(iter(run.log._entries))))


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
async def test_when_the_reader_goes_away_the_run_ends_or_not_as_its_caller_chose(
    on_disconnect: Literal["cancel", "continue"],
) -> None:
    run, wire = OneRun(on_disconnect), Wire()
    run.say("a")
    serving = serve(run, wire)
    await wire.until(b"id: 1\n")
    wire.gone.set()
    await over(serving)
    assert run.abandoned.is_set() == (on_disconnect == "cancel")


async def test_one_who_only_looks_on_ends_nothing_by_going(run: OneRun) -> None:
    wire = Wire()
    wire.gone.set()
    await over(serve(run, wire, mine=False))
    assert not run.abandoned.is_set()


async def test_a_reader_that_has_the_last_event_ends_nothing_by_going(run: OneRun) -> None:
    wire = Wire()
    serving = serve(run, wire)
    run.end()
    await over(serving)
    wire.gone.set()
    assert not run.abandoned.is_set()


async def test_a_frozen_reader_is_dropped_and_its_run_goes_on_for_the_others(run: OneRun) -> None:
    frozen, lively = Wire(), Wire()
    frozen.reads.clear()
    stuck, reading = serve(run, frozen, stall=0.05), serve(run, lively, mine=False)
    run.say("a")
    await over(stuck)
    assert not run.abandoned.is_set()
    assert not frozen.complete, "it is cut, so that the reader knows that there is more"
    run.say("b")
    run.end()
    await over(reading)
    assert lively.text.count(b"id: ") == 3

    back = Wire()
    await over(serve(run, back, mine=False, after=0))
    assert back.text == lively.text


async def test_a_frozen_reader_of_a_silent_run_is_dropped_by_its_heartbeat(run: OneRun) -> None:
    wire = Wire()
    wire.reads.clear()
    await over(serve(run, wire, stall=0.02, heartbeat=0.01))
    assert not run.abandoned.is_set()
    assert wire.sent == []


async def test_a_slow_reader_that_takes_something_now_and_then_is_not_dropped(run: OneRun) -> None:
    wire = Wire()
    serving = serve(run, wire, stall=PATIENCE_S)
    for n in range(5):
        wire.reads.clear()
        run.say("x")
        await asyncio.sleep(0)
        wire.reads.set()
        await wire.until(b"id: %d\n" % (n + 1))
    run.end()
    await over(serving)
    assert wire.complete


async def test_a_stream_that_is_cancelled_leaves_its_run(run: OneRun) -> None:
    wire = Wire()
    serving = serve(run, wire)
    run.say("a")
    await wire.until(b"id: 1\n")
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await over(serving)
    assert run.abandoned.is_set()


async def test_a_fault_while_sending_is_not_hidden(run: OneRun) -> None:
    async def broken(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the line is cut")

    run.end()
    with pytest.raises(OSError, match="cut"):
        await RunResponse(run.handle())(SCOPE, Wire().receive, broken)


async def test_late_parts_of_a_body_are_no_disconnect() -> None:
    left = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(left)

    await disconnected(receive)
