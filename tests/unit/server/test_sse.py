"""A run as server-sent events."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from core.access import Principal
from graph.runs import Run, TurnRequest
from server.sse import RunResponse, disconnected, encode


class Wire:
    """An ASGI connection whose client stays until it is told to go."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.headers: dict[bytes, bytes] = {}
        self.gone = asyncio.Event()
        self.news = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.headers = dict(message["headers"])
        else:
            self.sent.append(message["body"])
        self.news.set()

    async def until(self, piece: bytes) -> None:
        async with asyncio.timeout(5):
            while not any(piece in part for part in self.sent):
                self.news.clear()
                await self.news.wait()


@pytest.fixture
def run() -> Run:
    return Run("r1", "t1", TurnRequest(Principal("ada"), "hi"))


async def test_every_event_is_one_line_of_json_under_its_number(run: Run) -> None:
    wire = Wire()
    run.log.add({"type": "token", "text": "one\ntwo"})
    run.log.add({"type": "done"})
    await RunResponse(run)({"type": "http"}, wire.receive, wire.send)
    assert wire.sent == [
        b'id: 1\nevent: data\ndata: {"seq":1,"run_id":"r1","type":"token","text":"one\\ntwo"}\n\n',
        b'id: 2\nevent: data\ndata: {"seq":2,"run_id":"r1","type":"done"}\n\n',
        b"event: end\n\n",
    ]
    assert wire.headers[b"x-accel-buffering"] == b"no"
    assert wire.headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in wire.headers


async def test_a_reader_may_begin_behind_what_it_has(run: Run) -> None:
    wire = Wire()
    run.log.add({"type": "token", "text": "a"})
    run.log.add({"type": "done"})
    await RunResponse(run, after=1)({"type": "http"}, wire.receive, wire.send)
    assert wire.sent[0].startswith(b"id: 2\n")


async def test_a_silent_run_is_kept_open_with_comments(run: Run) -> None:
    wire = Wire()
    serving = asyncio.ensure_future(
        RunResponse(run, heartbeat=0.01)({"type": "http"}, wire.receive, wire.send)
    )
    await wire.until(b": still here")
    run.log.add({"type": "done"})
    await asyncio.wait_for(serving, 5)


async def test_when_the_reader_goes_away_the_run_is_cancelled(run: Run) -> None:
    wire = Wire()
    run.task = asyncio.create_task(asyncio.sleep(3600))
    serving = asyncio.ensure_future(RunResponse(run)({"type": "http"}, wire.receive, wire.send))
    wire.gone.set()
    await asyncio.wait_for(serving, 5)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run.task, 5)


async def test_a_fault_while_sending_is_not_hidden(run: Run) -> None:
    async def broken(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the line is cut")

    run.log.add({"type": "done"})
    with pytest.raises(OSError, match="cut"):
        await RunResponse(run)({"type": "http"}, Wire().receive, broken)


async def test_what_json_does_not_know_becomes_text() -> None:
    assert b'"at":"/x"' in encode({"seq": 1, "at": type("P", (), {"__str__": lambda _: "/x"})()})


async def test_late_parts_of_a_body_are_no_disconnect() -> None:
    left = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(left)

    await disconnected(receive)
