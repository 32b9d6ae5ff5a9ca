"""`waystation serve --role worker`: a process that executes, and whose port is for operators alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from dishka import Provider
from fastapi import FastAPI

from core.events import EventBus
from core.identity.opened import opened_authenticator
from core.settings import Context
from core.settings.auth import AuthSettings
from graph.agent import Agent
from graph.runs.announcements import TurnFinished
from server import errors
from server.app import log_turn
from server.middleware.auth import Gate
from server.middleware.edge import Edge, Guard
from server.routes import health
from server.routing import add_router
from server.stopping import draining_first


def create_worker(
    agent: Agent | None = None, *, context: Context | None = None, providers: Sequence[Provider] = ()
) -> FastAPI:
    """Health and metrics of a worker.

    Args:
        agent: One that is open already and that somebody else closes; without it the application opens
            its own when it starts, of `context` and `providers`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            opened = agent
            if opened is None:
                opening = Agent.open(context, providers=providers, worker=True)
                opened = await stack.enter_async_context(opening)
                stack.enter_context(draining_first(opened))
            app.state.agent = opened
            bus = await opened.container.get(EventBus)
            logged = bus.subscribe(TurnFinished, log_turn, name="turn_log")
            stack.callback(bus.unsubscribe, logged)
            settings, places = opened.book[AuthSettings], opened.book.context.places
            found = await stack.enter_async_context(opened_authenticator(settings, opened.engine, places))
            app.state.authenticator = found
            yield

    app = FastAPI(
        title="Waystation",
        summary="A worker: it executes what others answer.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    errors.install(app)
    add_router(app, health.router)
    for layer in (Guard, Gate, Edge):
        app.add_middleware(layer)
    return app
