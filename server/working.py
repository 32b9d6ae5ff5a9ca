"""`waystation serve --role worker`: a process that executes, and whose port is for operators alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from dishka import Provider
from fastapi import FastAPI

from core.settings import Context
from graph.agent import Agent
from server import errors
from server.app import identified
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
            await stack.enter_async_context(identified(app, opened))
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
