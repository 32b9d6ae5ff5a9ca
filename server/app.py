"""The FastAPI application: one agent per process, opened and closed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from dishka import Provider
from fastapi import FastAPI

from core.collecting import settle
from core.identity.opened import opened_authenticator
from core.lifecycle import running
from core.settings import Context
from core.settings.auth import AuthSettings
from graph.agent import Agent
from server import errors
from server.chat import chat_router
from server.console import login, markdown, pages
from server.langserve import agent_router
from server.middleware.auth import Gate
from server.middleware.edge import Cors, Edge, Guard, HeadAsGet
from server.module_routes import add_module_routes
from server.openapi import describe
from server.owner import open_to_owner
from server.protocols.table import add_protocols
from server.routes import (
    catalogue,
    docs,
    files,
    health,
    insight,
    keys,
    operating,
    parts,
    questions,
    retrieval,
    runs,
    session,
    tasks,
    threads,
)
from server.routing import add_router
from server.stopping import draining_first


def create_app(
    agent: Agent | None = None,
    *,
    context: Context | None = None,
    providers: Sequence[Provider] = (),
    worker: bool = False,
    url: str = "",
    **overrides: Any,
) -> FastAPI:
    """The service.

    Args:
        agent: One that is open already and that somebody else closes; without
            it the application opens its own when it starts.
        context, providers, worker, overrides: As in `Agent.open`, for the agent that it opens.
        url: Where programs of this machine reach it; with it, commands of its user have their turns here.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if agent is not None:
            async with identified(app, agent):
                yield
            return
        opening = Agent.open(context, providers=providers, worker=worker, **overrides)
        async with opening as opened:
            add_module_routes(app, running(opened.module_states))
            async with identified(app, opened):
                with draining_first(opened):
                    async with open_to_owner(opened, url) if url else nullcontext():
                        if worker:
                            settle()
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
    if agent is not None:
        add_module_routes(app, running(agent.module_states))
    app.add_middleware(HeadAsGet)
    app.add_middleware(Guard)
    app.add_middleware(Gate)
    app.add_middleware(Cors)
    app.add_middleware(Edge)
    describe(app)
    return app


@asynccontextmanager
async def identified(app: FastAPI, agent: Agent) -> AsyncIterator[None]:
    """The application has its agent, and knows who may call it."""
    app.state.agent = agent
    settings, places = agent.book[AuthSettings], agent.book.context.places
    async with agent.logging_turns(), opened_authenticator(settings, agent.engine, places) as authenticator:
        app.state.authenticator = authenticator
        yield


def _add_routes(app: FastAPI) -> None:
    def agent() -> Agent:
        found: Agent = app.state.agent
        return found

    add_router(app, agent_router(agent))
    add_router(app, chat_router(agent))
    for part in (threads, insight, runs, questions, files, catalogue, parts, retrieval):
        add_router(app, part.router)
    for part in (health, tasks, operating, keys, session, docs):
        add_router(app, part.router)
    add_router(app, operating.plans)
    add_protocols(app)
    add_router(app, login.router)
    add_router(app, markdown.router)
    add_router(app, pages.router)
    app.state.console = True
    docs.mount_assets(app)
