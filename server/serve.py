"""Run the service: bind, open the agent, say when it is ready, drain when told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from types import FrameType

import uvicorn
from dishka import Provider, Scope
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from core.collecting import settle
from core.errors import ConfigInvalid
from core.observability import configure_logging
from core.registry import discover, files_of, sections_of
from core.settings import Book, Context, read_book
from core.settings.platform import AuthSettings, ServerSettings, StorageSettings, TelemetrySettings
from core.sockets import tcp_listener
from graph.agent import Agent
from graph.wiring.services import Progress
from nodes.file_storage import LinkHost
from nodes.file_storage.links import FixedHost
from nodes.file_storage.settings import FileStorageSettings
from server.apart import Host, check_workers, create_apart, open_host
from server.app import create_app
from server.connections import Bounds, Connection, Waiting, lift_open_files
from server.errors import AddressInUse, BindRefused
from server.greeting import greeting, greeting_apart, greeting_worker, source_summaries
from server.middleware.auth import check_bind
from server.owner import open_to_owner
from server.stopping import ends_in_time
from server.working import create_worker

CLOSE_SECONDS = 2
# A worker that is silent for so long is taken for dead: uvicorn's five seconds end one that is merely busy.
WORKER_SECONDS = 30
READY_SECONDS = 120.0


def read_settings(context: Context) -> Book:
    """Everything that the service will read, validated whole.

    Raises:
        ConfigErrors: With every problem.
    """
    modules = discover()
    return read_book(sections_of(modules), files_of(modules), context)


def bind(settings: ServerSettings, auth: AuthSettings) -> socket.socket:
    """A listening address, taken before anything slow begins.

    Raises:
        BindRefused: It would open the service to the network, or it is no address of this machine.
        AddressInUse: Another process has it.
    """
    check_bind(settings, auth)
    try:
        return tcp_listener(settings.host, settings.port)
    except OSError as error:
        raise _bind_error(error, settings) from error


def _bind_error(error: OSError, settings: ServerSettings) -> AddressInUse | BindRefused:
    where = f"{settings.host}:{settings.port}"
    if isinstance(error, PermissionError):
        return BindRefused(f"this user may not listen on {where}; choose a port above 1023 with --port")
    if isinstance(error, socket.gaierror) or error.errno == 99:
        return BindRefused(f"'{settings.host}' is no address of this machine; use 127.0.0.1")
    return AddressInUse(f"another process listens on {where}; stop it, or choose another port with --port")


class Server(uvicorn.Server):
    """uvicorn's server with our start message and our way to stop.

    Args:
        ready: Called once, when requests are answered.
        agent: Drained before connections are closed; none when the workers have their own.
    """

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None], agent: Agent | Host) -> None:
        super().__init__(config)
        self._ready = ready
        self._agent = agent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # While listeners are still open, so that readiness can say what happens.
        await self._agent.drain(seconds=self._agent.book[ServerSettings].drain_seconds)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's, does not raise the signal again: the agent has to be closed after us."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def asked(number: int, _: FrameType | None) -> None:
            # Here and not in the loop, which may be what hangs.
            ends_in_time(self._agent.book[ServerSettings])
            loop.call_soon_threadsafe(self.handle_exit, number, None)

        before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def uvicorn_config(
    app: FastAPI | str, *, workers: int = 1, settings: ServerSettings | None = None
) -> uvicorn.Config:
    """What uvicorn is told: our logs instead of its own, bounds on connections, and a bounded stop."""
    settings = settings or ServerSettings()
    bounds = Bounds.of(settings, files=lift_open_files())
    return uvicorn.Config(
        app,
        http=partial(Connection, bounds=bounds, waiting=Waiting(bounds.waiting)),  # type: ignore[arg-type]  # makes one
        timeout_keep_alive=settings.keep_alive_seconds,
        factory=isinstance(app, str),
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
        timeout_worker_healthcheck=WORKER_SECONDS,
        lifespan="on",
    )


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where it is installed."""
    return uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()


async def serve(context: Context, *, progress: Progress | None = None) -> None:
    """Serve in this process until SIGINT or SIGTERM.

    Raises:
        WaystationError: The service cannot start.
    """
    book = read_settings(context)
    settings = book[ServerSettings]
    check_role(book)
    _log(book)
    with bind(settings, book[AuthSettings]) as listener:
        base = base_url(settings, listener)
        links = own_links(book, own_url(settings, listener))
        async with Agent.open(context, providers=links, progress=progress, worker=True) as agent:
            said = await _greeting(agent, base)
            is_worker = settings.role == "worker"
            server = Server(
                uvicorn_config(create_worker(agent) if is_worker else create_app(agent), settings=settings),
                ready=lambda: _say_ready(said),
                agent=agent,
            )
            # Commands of this user have their turns where somebody answers.
            async with nullcontext() if is_worker else open_to_owner(agent, base):
                await server.serve(sockets=[listener])


async def _greeting(agent: Agent, base: str) -> str:
    settings = agent.book[ServerSettings]
    if settings.role == "worker":
        return greeting_worker(base, settings)
    return greeting(base, await source_summaries(agent), console=settings.console)


def check_role(book: Book) -> None:
    """Roles meet in a database that several machines can share.

    Raises:
        ConfigInvalid: This process has a role of its own, and its database is a file.
    """
    role = book[ServerSettings].role
    if role != "all" and not book[StorageSettings].url.startswith("postgres"):
        raise ConfigInvalid(
            f"server.role: '{role}' needs PostgreSQL, and the database is a file of SQLite; set storage.url "
            "to postgresql://USER@HOST/NAME, or serve with the role 'all' (--workers N for several processes)"
        )


async def serve_apart(context: Context, names: Sequence[str], *, progress: Progress | None = None) -> None:
    """Serve some modules and no turns, in this process until SIGINT or SIGTERM.

    Raises:
        WaystationError: It cannot start.
    """
    book = read_settings(context)
    settings = book[ServerSettings]
    check_workers(book)
    _log(book)
    with bind(settings, book[AuthSettings]) as listener:
        base = base_url(settings, listener)
        async with open_host(context, names, progress=progress) as host:
            said = greeting_apart(base, host.names, await source_summaries(host))
            server = Server(
                uvicorn_config(create_apart(host), settings=settings),
                ready=lambda: _say_ready(said),
                agent=host,
            )
            await server.serve(sockets=[listener])


def serve_many(context: Context) -> None:
    """Serve with several processes; each opens an agent of its own on the same database."""
    book = read_settings(context)
    settings = book[ServerSettings]
    check_role(book)
    _log(book)
    with bind(settings, book[AuthSettings]) as listener:
        os.environ.update(_as_environment(settings, listener))
        app = "server.several:app_from_environ"
        config = uvicorn_config(app, workers=settings.workers, settings=settings)
        base = base_url(settings, listener)
        said = greeting_of_many(base, settings)
        threading.Thread(target=_greet_when_ready, args=(base, said), daemon=True).start()
        Multiprocess(config, [listener]).run()


def app_from_environ() -> FastAPI:
    """The application of one of several workers."""
    context = Context.current()
    book = read_settings(context)
    _log(book)
    settings = book[ServerSettings]
    url = _address(settings.host, settings.port)
    if settings.role == "worker":
        return create_worker(context=context, providers=own_links(book, url))
    return create_app(context=context, providers=own_links(book, url), worker=True, url=url)


def own_links(book: Book, url: str) -> list[Provider]:
    """Signed links to files lead to this service's own route, unless the settings say where."""
    if book[FileStorageSettings].link_base_url:
        return []
    settings = book[ServerSettings]
    if settings.role == "worker" and settings.public_url:
        url = settings.public_url.rstrip("/")  # a worker has no such route
    links = Provider(scope=Scope.APP)
    links.provide(lambda: FixedHost(url), provides=LinkHost, override=True)
    return [links]


def _as_environment(settings: ServerSettings, listener: socket.socket) -> dict[str, str]:
    """What the command line changed and the port that was taken, for the workers, which read it again."""
    return {
        "WAYSTATION_SERVER__HOST": settings.host,
        "WAYSTATION_SERVER__PORT": str(listener.getsockname()[1]),
        "WAYSTATION_SERVER__WORKERS": str(settings.workers),
        "WAYSTATION_SERVER__ROLE": settings.role,
        "WAYSTATION_SERVER__RUNS_AT_ONCE": str(settings.runs_at_once),
        "WAYSTATION_SERVER__EXECUTES": json.dumps(settings.executes),
        "WAYSTATION_SERVER__TAGS": json.dumps(settings.tags),
    }


def _log(book: Book) -> None:
    settings = book[TelemetrySettings]
    configure_logging(level=settings.log_level, as_json=settings.log_format == "json")


def base_url(settings: ServerSettings, listener: socket.socket) -> str:
    """Where people on this machine reach the service."""
    return settings.public_url.rstrip("/") or own_url(settings, listener)


def own_url(settings: ServerSettings, listener: socket.socket) -> str:
    """Where programs on this machine reach the service, whatever stands before it."""
    return _address(settings.host, listener.getsockname()[1])


def _address(host: str, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}"


def _say_ready(text: str) -> None:
    settle()
    print(text, flush=True)


def greeting_of_many(base: str, settings: ServerSettings) -> str:
    """What several processes on one port say when they are ready."""
    if settings.role == "worker":
        return greeting_worker(base, settings)
    return greeting(base, console=settings.console)


def _greet_when_ready(base: str, said: str) -> None:
    import httpx  # noqa: PLC0415 - for the parent of several workers alone

    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"{base}/health/ready").status_code == 200:
                    print(said, flush=True)
                    return
            time.sleep(0.2)
