"""Signed links in a process that serves nothing else: a command, a notebook, a worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.errors import NotAllowed, NotFound, WaystationError
from core.sockets import tcp_listener
from nodes.file_storage.delivery import download_headers
from nodes.file_storage.links import LinkSigner
from nodes.file_storage.ports import FileStore

START_SECONDS = 10
STOP_SECONDS = 2


class LinkServer:
    """Starts with the first link, on a free port of 127.0.0.1, in the event loop that asked."""

    def __init__(self, store: FileStore, signer: LinkSigner) -> None:
        self._app = link_app(store, signer)
        self._lock = asyncio.Lock()
        self._server: _Embedded | None = None
        self._task: asyncio.Task[None] | None = None
        self._url = ""

    async def base_url(self) -> str:
        async with self._lock:
            if self._task is None or self._task.done():
                await self._start()
            return self._url

    async def aclose(self) -> None:
        """Stop; downloads that are going get two seconds to end."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait([self._task])
        self._server = self._task = None

    async def _start(self) -> None:
        listener = tcp_listener()
        config = Config(
            self._app,
            http=_Quiet,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = _Embedded(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="file-links")
        async with asyncio.timeout(START_SECONDS):
            await self._server.ready.wait()
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"


def link_app(store: FileStore, signer: LinkSigner) -> Starlette:
    """One route, `GET /files/link/{token}`: the file under its name and media type."""

    async def download(request: Request) -> Response:
        try:
            owner, key = signer.verify(request.path_params["token"])
            info = await store.info(owner, key)
        except WaystationError as error:
            return JSONResponse({"code": error.code, "detail": error.detail}, _status(error))
        headers = {**download_headers(info), "content-length": str(info.size)}
        if request.method == "HEAD":
            return Response(headers=headers)
        return StreamingResponse(store.open(owner, key), headers=headers)

    return Starlette(routes=[Route("/files/link/{token}", download, methods=["GET", "HEAD"])])


def _status(error: WaystationError) -> int:
    if isinstance(error, NotAllowed):
        return 403
    return 404 if isinstance(error, NotFound) else 503


class _Embedded(Server):
    """A guest in somebody's process: leaves the signals to its host, and says when it listens."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


class _Quiet(H11Protocol):
    """Writes no access log: the token in the path is a key to the file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
