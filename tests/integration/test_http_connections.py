"""Connections that take their time, or have no end: bounded, told why, and no burden on others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import client_of, served
from waystation.testing.agents import open_agent

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PATIENCE = 30.0
BOUNDS = {
    "header_seconds": 1.5,
    "keep_alive_seconds": 2,
    "body_seconds": 1.5,
    "body_rate": 1_000_000,
    "header_bytes": 8192,
    "waiting_connections": 50,
}
BEGUN = b"POST /threads HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
async def hurried(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("hurried"), server=BOUNDS) as agent:
        yield agent


@pytest.fixture(scope="module")
async def house(hurried: Agent) -> AsyncIterator[str]:
    async with served(hurried) as base:
        yield base


@asynccontextmanager
async def connected(base: str) -> AsyncIterator[Pair]:
    url = httpx.URL(base)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side closes, which it has to."""
    found = b""
    async with asyncio.timeout(PATIENCE):
        try:
            while piece := await reader.read(65_536):
                found += piece
        except ConnectionResetError:
            pass
    return found


async def dripping(pair: Pair, piece: bytes, *, most: int = 10_000_000) -> bytes:
    """Send the piece again and again until the other side closes; gives what it said."""
    reader, writer = pair
    heard = asyncio.create_task(rest(reader))
    sent = 0
    while not heard.done() and sent < most:
        writer.write(piece)
        sent += len(piece)
        try:
            await writer.drain()
        except ConnectionError:
            break
        await asyncio.wait([heard], timeout=0.01)
    assert sent < most, "it took all of it"
    return await heard


def told(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == code


async def works(base: str) -> None:
    async with client_of(base) as http:
        assert (await http.get("/health/live")).status_code == 200


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: ",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx-name-without-end-",
        b"GET /",
        b"GE",
    ],
)
async def test_g1_3_a_head_without_end_is_refused_early(house: str, begin: bytes) -> None:
    async with connected(house) as pair:
        pair[1].write(begin)
        answer = await dripping(pair, b"a" * 1000, most=400_000)
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")) or answer == b""
    await works(house)


async def test_g1_3_many_headers_are_as_bounded_as_a_long_one(house: str) -> None:
    async with connected(house) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 2000 + b"\r\n")
        told(await rest(reader), 431, "headers_too_large")


async def test_g1_3_a_head_that_comes_too_slowly_is_told_so(house: str) -> None:
    async with connected(house) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: local")
        told(await rest(reader), 408, "request_too_slow")


async def test_g1_3_a_connection_that_says_nothing_is_closed(house: str) -> None:
    async with connected(house) as (reader, _):
        assert await rest(reader) == b""


async def test_g1_3_a_body_that_stops_is_closed_and_counts_for_nothing(house: str) -> None:
    async with client_of(house) as http:
        before = len((await http.get("/threads")).json())
    async with connected(house) as (reader, writer):
        writer.write(BEGUN + b"content-length: 20\r\n\r\n{")
        told(await rest(reader), 408, "request_too_slow")
    async with client_of(house) as http:
        assert len((await http.get("/threads")).json()) == before


@pytest.mark.parametrize("path", [b"/threads", b"/none"])
@pytest.mark.parametrize("kind", [b"application/json", b"text/plain"])
async def test_g1_3_a_body_that_drips_is_closed(house: str, path: bytes, kind: bytes) -> None:
    async with connected(house) as pair:
        pair[1].write(
            b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: %b\r\ncontent-length: 900000\r\n\r\n"
            % (path, kind)
        )
        assert (await dripping(pair, b" "))[:12] in (b"HTTP/1.1 408", b"HTTP/1.1 415")


async def test_g1_3_an_upload_that_drips_is_closed(house: str) -> None:
    async with connected(house) as pair:
        pair[1].write(
            b"POST /files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 90000000\r\n"
            b"content-type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        )
        told(await dripping(pair, b"y"), 408, "request_too_slow")


async def test_g1_3_a_body_that_goes_on_after_its_refusal_is_cut(house: str) -> None:
    async with connected(house) as pair:
        pair[1].write(
            BEGUN.replace(b"application/json", b"text/plain") + b"transfer-encoding: chunked\r\n\r\n"
        )
        answer = await dripping(pair, b"400\r\n" + b"x" * 1024 + b"\r\n", most=1_000_000_000)
    assert answer.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("endless", [b"0\r\nx-trailer: ", b"5;extension="])
async def test_g1_3_what_stands_between_chunks_has_an_end(house: str, endless: bytes) -> None:
    async with connected(house) as pair:
        pair[1].write(BEGUN + b"transfer-encoding: chunked\r\n\r\n" + endless)
        answer = await dripping(pair, b"a" * 1000, most=400_000)
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))


async def test_g1_3_what_is_no_http_is_told_so(house: str) -> None:
    async with connected(house) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
        told(await rest(reader), 400, "bad_http")


async def test_g1_3_many_idle_connections_keep_nobody_out(house: str) -> None:
    url = httpx.URL(house)
    pairs = [await asyncio.open_connection(url.host, url.port) for _ in range(200)]
    await works(house)
    closed = [await rest(reader) for reader, _ in pairs]
    assert closed == [b""] * 200
    for _, writer in pairs:
        writer.close()


async def test_g1_3_a_connection_stays_open_between_requests_for_a_balancer(house: str) -> None:
    request = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with connected(house) as (reader, writer):
        for _ in range(3):
            writer.write(request)
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            assert head.startswith(b"HTTP/1.1 200")
        # And no longer than the setting says.
        assert await rest(reader) == b""


async def test_g1_3_a_request_sent_ahead_is_answered(house: str) -> None:
    request = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"
    async with connected(house) as (reader, writer):
        writer.write((request + b"\r\n") * 3 + request + b"connection: close\r\n\r\n")
        assert (await rest(reader)).count(b"HTTP/1.1 200 OK") == 4


async def test_g10_a_stream_for_http_1_0_comes_without_chunks(house: str) -> None:
    body = b'{"input": {"message": "What is 5 + 3?"}}'
    head = b"POST /agent/stream HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    async with connected(house) as (reader, writer):
        writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        answer = await rest(reader)
    said, _, stream = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in said.lower()
    assert b"connection: close" in said.lower()
    blocks = stream.decode().split("\n\n")
    assert blocks[-2:] == ["event: end", ""]
    assert all(block.startswith(("id: ", ":", "event: ")) for block in blocks[:-1])


@pytest.mark.parametrize("path", [b"/health/live", b"/agent/playground/", b"/none", b"/openapi.json"])
async def test_g10_plain_answers_for_http_1_0_are_whole(house: str, path: bytes) -> None:
    async with connected(house) as (reader, writer):
        writer.write(b"GET %b HTTP/1.0\r\nhost: localhost\r\n\r\n" % path)
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    if b"content-length: " in head.lower():
        assert int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) == len(body)
