"""A turn through nginx, set up as `deploy/nginx` has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

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
