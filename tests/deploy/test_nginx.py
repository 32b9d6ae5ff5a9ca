"""A turn through nginx, set up as `deploy/nginx` has it."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from core.installed import ROOT
from tests.kit.http import client_of, served, turn
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, say
from waystation.testing.service import free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is missing, so there is nothing to go through")

MAIN = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {site}
}}
"""


def site(port: int, upstream: str) -> str:
    """The shipped file without TLS, on a port of this machine."""
    text = (ROOT / "deploy/nginx/waystation.conf").read_text()
    text = re.sub(r"(?m)^\s*(ssl_certificate\w*\s.*|listen \[.*|#.*)$", "", text)
    text = text.replace("127.0.0.1:8000", upstream).replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return text[: text.rindex("server {")]


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[str]:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(MAIN.format(folder=folder, site=site(port, upstream)))
    words = [NGINX or "", "-e", str(folder / "error.log"), "-c", str(config), "-p", str(folder)]
    process = subprocess.Popen(words)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("proxied")
    async with open_agent(folder, model_url=model.url, tools=()) as agent, served(agent) as base:
        with nginx(folder, base.removeprefix("http://")) as address:
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
