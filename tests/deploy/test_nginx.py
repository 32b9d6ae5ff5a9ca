"""A turn through nginx, set up as `deploy/nginx` has it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from core.errors import TimedOut, Unavailable
from server.errors import problem
from server.protocols.refusals import PROBLEM_JSON
from tests.kit.http import client_of, served, turn
from tests.kit.nginx import MISSING, PROGRAM, nginx
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, say
from waystation.testing.service import free_port

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("proxied")
    async with open_agent(folder, model_url=model.url, tools=()) as agent, served(agent) as base:
        with nginx(folder, f"127.0.0.1:{free_port()}", [base.removeprefix("http://")]) as address:
            async with asyncio.timeout(20), client_of(address) as http:
                while not await is_up(http):  # noqa: ASYNC110 - another program's port tells nobody
                    await asyncio.sleep(0.05)
            yield address


async def is_up(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/live")).status_code == 200
    except httpx.ConnectError:
        return False


async def test_a_stream_is_passed_on_as_it_comes(proxy: str, model: ModelServer) -> None:
    model.script(say("one two three", hang_after=1))
    async with client_of(proxy) as http, http.stream("POST", "/agent/stream", json=turn("count")) as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(30):
            # The model says nothing further before it is released: the first word has come through by itself.
            async for line in lines:
                if '"token"' in line:
                    break
            model.release()
            rest = [line async for line in lines]
    assert any('"answer":"one two three"' in line for line in rest)


async def test_an_upload_goes_through_and_comes_back(proxy: str) -> None:
    content = bytes(range(256)) * 8_192  # 2 MiB: more than nginx takes by itself
    async with client_of(proxy) as http:
        sent = await http.post("/files", files={"file": ("notes.bin", content)})
        assert sent.status_code in (200, 201), sent.text
        back = await http.get(f"/files/{sent.json()['key']}/content")
    assert back.content == content


async def test_what_is_too_large_is_told_in_the_words_of_the_service(proxy: str) -> None:
    """A form that says beforehand that it has a gigabyte."""
    place = httpx.URL(proxy)
    reader, writer = await asyncio.open_connection(place.host, place.port)
    head = f"POST /files HTTP/1.1\r\nHost: {place.netloc.decode()}\r\nContent-Length: 1073741824\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
    async with asyncio.timeout(30):
        announced = (await reader.readuntil(b"}")).decode()
    writer.close()
    assert announced.startswith("HTTP/1.1 413 ")
    assert '"code":"body_too_large"' in announced


async def test_a_service_that_is_gone_is_told_in_the_form_of_its_errors(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with nginx(tmp_path, address, [f"127.0.0.1:{free_port()}"]) as url:
        answer = await answered(url)
    assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM_JSON)
    assert answer.json() == problem(Unavailable("the service cannot be reached; try again"))


async def test_a_service_that_does_not_answer_is_none_to_ask_again(tmp_path: Path) -> None:
    """It may be doing what it was asked for: whoever sends that once more has it twice."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream, address = f"127.0.0.1:{silent.getsockname()[1]}", f"127.0.0.1:{free_port()}"
        with nginx(tmp_path, address, [upstream], patience="100ms") as url:
            answer = await answered(url)
    assert (answer.status_code, answer.headers["content-type"]) == (504, PROBLEM_JSON)
    assert "retry-after" not in answer.headers
    said = TimedOut("the service has not answered in time; what was asked for may be done")
    assert answer.json() == problem(said)


async def answered(url: str) -> httpx.Response:
    """What the proxy says, once it is up."""
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=url, trust_env=False) as http:
        while True:
            try:
                return await http.get("/health/live")
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
