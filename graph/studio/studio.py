"""The same graph for LangGraph Studio: `langgraph dev` brings its own checkpointer.

Services open once per process, in the lifespan of `app`; the factory may be
called for every request and for every reading of a schema.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from core.errors import InvalidInput, WaystationError
from graph.flow.builder import build_graph
from graph.flow.routing import AfterModel
from graph.flow.steps import Steps
from graph.studio.auth import opened_logins
from graph.studio.words import OncePerAnswer
from graph.wiring.services import open_services

_opened: dict[str, CompiledStateGraph[Any, Any, Any, Any]] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Hold the services open for as long as the process serves."""
    async with open_services() as services, opened_logins(services.book):
        # Without a window: there is no transcript here, so the state keeps the whole conversation.
        steps = await services.container.get(Steps)
        model = steps.main("model")
        steps = steps.running({model.name: OncePerAnswer(model.node)})
        after_model = await services.container.get(AfterModel)
        _opened["graph"] = build_graph(steps, after_model).compile(name="waystation")
        try:
            yield
        finally:
            _opened.clear()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(WaystationError)
async def refused(request: Request, error: WaystationError) -> JSONResponse:
    """Our own sentence where an edit of a state is refused, in the form of the server's other refusals."""
    return JSONResponse({"detail": error.detail}, 422 if isinstance(error, InvalidInput) else 400)


async def waystation(config: RunnableConfig) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, without a checkpointer."""
    return _opened["graph"]
