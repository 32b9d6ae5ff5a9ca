"""The gate closes what no login is read from."""

from __future__ import annotations

import asyncio

import httpx
import uvicorn
from fastapi import FastAPI, WebSocket

from server.middleware.auth import Gate

UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def app_with_a_websocket() -> FastAPI:
    app = FastAPI()

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return app


async def answer_to_an_upgrade(app: FastAPI) -> int:
    """The status of a real server's answer to a browser that wants to talk."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            async with (
                httpx.AsyncClient() as http,
                http.stream("GET", f"http://127.0.0.1:{port}/talk", headers=UPGRADE) as answer,
            ):
                return answer.status_code
    finally:
        server.should_exit = True
        await running


async def test_a_websocket_that_a_module_brings_is_closed() -> None:
    app = app_with_a_websocket()
    assert await answer_to_an_upgrade(app) == 101
    guarded = app_with_a_websocket()
    guarded.add_middleware(Gate)
    assert await answer_to_an_upgrade(guarded) == 403
