"""`waystation serve --modules rag`: modules without turns, each with its own part of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from dishka import AsyncContainer
from fastapi import APIRouter, FastAPI
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.errors import ConfigInvalid
from core.health import HealthBoard
from core.identity.opened import opened_authenticator
from core.lifecycle import ModuleState, running
from core.settings import Book, Context
from core.settings.auth import AuthSettings
from core.settings.book import Editions
from core.settings.platform import ServerSettings
from graph.wiring.apart import open_apart
from graph.wiring.services import Progress, Services
from server import errors
from server.middleware.auth import Gate
from server.middleware.edge import Cors, Edge, Guard
from server.module_routes import add_module_routes
from server.openapi import describe
from server.routes import catalogue, docs, files, health, retrieval
from server.routing import add_router

# What of the API is a module's own: routers whole, or those of their paths that are named.
PARTS: Mapping[str, Sequence[tuple[APIRouter, frozenset[str]]]] = {
    "llm": [(catalogue.router, frozenset({"/models"}))],
    "rag": [(catalogue.router, frozenset({"/sources"})), (retrieval.router, frozenset())],
    "mcp_tools": [(catalogue.router, frozenset({"/servers", "/tools"}))],
    "file_storage": [(files.router, frozenset())],
}


class Host:
    """What routes and gates ask of an agent, for modules that run apart from one."""

    def __init__(self, services: Services, editions: Editions) -> None:
        self._services = services
        self.editions = editions
        self.draining = False

    @property
    def book(self) -> Book:
        return self._services.book

    @property
    def container(self) -> AsyncContainer:
        return self._services.container

    @property
    def health(self) -> HealthBoard:
        return self._services.health

    @property
    def module_states(self) -> list[ModuleState]:
        return [state for state in self._services.module_states if state in self._running]

    @property
    def names(self) -> list[str]:
        """The modules that run."""
        return [state.module.name for state in self._running]

    @property
    def _running(self) -> list[ModuleState]:
        modules = running(self._services.module_states)
        return [state for state in self._services.module_states if state.module in modules]

    def has(self, module: str) -> bool:
        """True when the module runs here."""
        return module in self.names

    async def drain(self, *, seconds: float) -> None:
        """Say that it stops. No turn runs here that could be waited for."""
        self.draining = True
        await asyncio.sleep(0)


@asynccontextmanager
async def open_host(
    context: Context, names: Sequence[str], *, progress: Progress | None = None
) -> AsyncIterator[Host]:
    """These modules, started. Raises what `open_apart` raises."""
    async with open_apart(context, names, progress=progress) as services:
        yield Host(services, await services.container.get(Editions))


def check_workers(book: Book) -> None:
    """One process serves modules apart.

    Raises:
        ConfigInvalid: The settings want more.
    """
    workers = book[ServerSettings].workers
    if workers > 1:
        raise ConfigInvalid(
            f"--modules serves in one process, and server.workers is {workers}; "
            "set --workers 1, and start it several times behind one address"
        )


def create_apart(host: Host) -> FastAPI:
    """The API of the host's modules, with health, metrics and its own description."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settings = host.book[AuthSettings]
        engine = await host.container.get(AsyncEngine) if "keys" in settings.logins else None
        async with opened_authenticator(settings, engine) as authenticator:
            app.state.authenticator = authenticator
            yield

    app = FastAPI(
        title="Waystation",
        summary=f"Modules: {', '.join(host.names)}.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.agent = host
    errors.install(app)
    for router in routers_of(host.names):
        add_router(app, router)
    docs.mount_assets(app)
    add_module_routes(app, running(host.module_states))
    for layer in (Guard, Gate, Cors, Edge):
        app.add_middleware(layer)
    describe(app)
    return app


def routers_of(names: Sequence[str]) -> Iterator[APIRouter]:
    """The parts of the API that go with these modules."""
    for name in names:
        for router, paths in PARTS.get(name, ()):
            yield router if not paths else _part(router, paths)
    yield health.router
    yield docs.router


def _part(router: APIRouter, paths: frozenset[str]) -> APIRouter:
    part = APIRouter(tags=router.tags)
    part.routes.extend(route for route in router.routes if getattr(route, "path", "") in paths)
    return part
