"""Connections within bounds, around small applications."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from core.settings.platform import ServerSettings
from server.connections import OPEN_FILES, Bounds, Connection, Waiting

pytestmark = pytest.mark.slow

PATIENCE = 20.0
SHORT = replace(
    Bounds.of(ServerSettings()), head_seconds=0.2, body_seconds=0.2, body_rate=1_000_000, stall_seconds=0.3
)
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


@asynccontextmanager
async def serving(app: ASGIApp, bounds: Bounds) -> AsyncIterator[int]:
    """The port of a real server."""
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=1,
        http=partial(Connection, bounds=bounds, waiting=Waiting(bounds.waiting)),  # type: ignore[arg-type]  # makes one
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def answered(send: Send, *pieces: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers or []})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


async def test_g1_3_a_stream_that_takes_longer_than_every_bound_is_not_cut() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, later.set)
        await later.wait()
        await send({"type": "http.response.body", "body": b"last", "more_body": False})

    async with serving(slow, SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # Some bytes of a next request do not end it either.
        writer.write(GET + b"GET / HT")
        found = b""
        async with asyncio.timeout(PATIENCE):
            while b"last" not in found:
                piece = await reader.read(1000)
                assert piece, found
                found += piece
        writer.close()


async def test_g1_3_a_body_that_waits_for_us_is_not_closed() -> None:
    seen = 0

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal seen
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, later.set)
        await later.wait()
        more = True
        while more:
            message = await receive()
            seen += len(message.get("body", b""))
            more = message.get("more_body", False)
        await answered(send, b"thanks")

    async with serving(late, replace(SHORT, body_rate=4096)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        size = 8_000_000
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        assert b"thanks" in await rest(reader)
        writer.close()
    assert seen == size


async def test_a_reader_that_takes_nothing_is_dropped() -> None:
    gone = asyncio.Event()

    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 50_000_000, "more_body": True})
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with serving(much, SHORT) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        writer.close()


async def test_the_connection_that_has_waited_longest_makes_room() -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        await answered(send, b"hi", headers=[(b"content-length", b"2")])

    async with serving(plain, replace(SHORT, head_seconds=PATIENCE, waiting=2)) as port:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        first, second = pairs
        first[1].write(GET)
        async with asyncio.timeout(PATIENCE):
            await first[0].readuntil(b"hi")
        third = await asyncio.open_connection("127.0.0.1", port)
        # The first has waited less long since its answer.
        assert await rest(second[0]) == b""
        for pair in (first, third):
            pair[1].write(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            assert (await rest(pair[0])).endswith(b"hi")
        for _, writer in (*pairs, third):
            writer.close()


@pytest.mark.parametrize(
    ("headers", "pieces", "body"),
    [
        ([], [b"a", b"", b"bc"], b"abc"),
        ([], [], b""),
        ([(b"Content-Length", b"3")], [b"ab", b"c"], b"abc"),
    ],
)
async def test_g10_an_answer_to_http_1_0_has_no_chunks(
    headers: list[tuple[bytes, bytes]], pieces: list[bytes], body: bytes
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answered(send, *pieces, headers=headers)

    async with serving(app, SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        head, _, found = (await rest(reader)).partition(b"\r\n\r\n")
        writer.close()
    assert found == body
    assert b"chunked" not in head
    assert b"connection: close" in head


async def test_g1_3_a_request_that_the_end_of_the_server_cancels_leaves_no_report(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = asyncio.Event()

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with serving(never, SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
    assert await rest(reader) == b""
    writer.close()
    assert not [record for record in caplog.records if record.exc_info]


def test_bounds_are_those_of_the_settings() -> None:
    settings: dict[str, Any] = {"header_seconds": 7, "body_rate": 9, "waiting_connections": 3}
    found = Bounds.of(ServerSettings(**settings))
    assert (found.head_seconds, found.body_rate, found.waiting) == (7, 9, 3)
    assert found.stall_seconds > ServerSettings().stream_stall_seconds


def test_of_few_files_those_who_wait_get_a_share() -> None:
    assert Bounds.of(ServerSettings(), files=1024).waiting == 256
    assert Bounds.of(ServerSettings()).waiting == ServerSettings().waiting_connections


_LIFTED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))
from server.connections import lift_open_files
print(lift_open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("hard", "most"), [(1024, 1024), (10_000, OPEN_FILES)])
def test_the_bound_on_open_files_is_lifted_to_what_the_system_allows(hard: int, most: int) -> None:
    if hard > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        pytest.skip("this machine allows less")
    words = [sys.executable, "-c", _LIFTED.format(hard=hard)]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(most)] * 2
