"""The FastAPI application: one agent per process, opened and closed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from dishka import Provider
from fastapi import FastAPI

from core.settings import Context
from graph.agent import Agent
from server import errors
from server.chat import chat_router
from server.edge import Edge
from server.langserve import agent_router
from server.limits import Guard
from server.openapi import describe
from server.routes import catalogue, docs, files, health, threads


def create_app(
    agent: Agent | None = None,
    *,
    context: Context | None = None,
    providers: Sequence[Provider] = (),
    **overrides: Any,
) -> FastAPI:
    """The service.

    Args:
        agent: One that is open already and that somebody else closes; without
            it the application opens its own when it starts.
        context, providers, overrides: As in `Agent.open`, for the agent that it opens.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if agent is not None:
            app.state.agent = agent
            yield
            return
        async with _opened(context, providers, overrides) as opened:
            app.state.agent = opened
            yield

    app = FastAPI(
        title="Waystation",
        summary="Turns of an agent graph on checkpointed threads.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    errors.install(app)
    _add_routes(app)
    app.add_middleware(Guard)
    app.add_middleware(Edge)
    describe(app)
    return app


def _opened(
    context: Context | None, providers: Sequence[Provider], overrides: dict[str, Any]
) -> AbstractAsyncContextManager[Agent]:
    return Agent.open(context, providers=providers, **overrides)


def _add_routes(app: FastAPI) -> None:
    def agent() -> Agent:
        found: Agent = app.state.agent
        return found

    app.include_router(agent_router(agent))
    app.include_router(chat_router(agent))
    for part in (threads, files, catalogue, health, docs):
        app.include_router(part.router)
    docs.mount_assets(app)
