"""A module's step, tasks and routes by themselves, on a container of `module_container`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
from dishka import AsyncContainer
from fastapi import FastAPI
from langgraph.runtime import Runtime
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from core.access import Principal, RunContext
from core.events import record
from core.registry import Module
from core.task_queue import Task, TaskContext
from server import errors
from server.module_routes import add_module_routes

# The name says what is recorded: `waystation.record` takes up a run.
record_events = record


async def run_step(
    node: Any, state: Mapping[str, Any], context: RunContext | None = None
) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Run a step of the graph: what it writes, and what it tells the run's stream."""
    told: list[dict[str, Any]] = []
    runtime = Runtime(context=context or RunContext(), stream_writer=told.append)
    return await node(state, runtime), told


async def run_task(
    task: Task[Any],
    arguments: BaseModel | Mapping[str, Any],
    container: AsyncContainer,
    *,
    principal: Principal | None = None,
) -> list[tuple[float, float | None, str]]:
    """Run one attempt of a task: the progress that it reports.

    Raises:
        TaskArgumentsInvalid: They are not those that the task declares.
    """
    told: list[tuple[float, float | None, str]] = []

    async def report(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))

    context = TaskContext(container, principal or Principal("local"), "test", 1, report)
    await task.run(task.parse(arguments), context)
    return told


@asynccontextmanager
async def routes_of(
    module: Module, container: AsyncContainer, caller: Principal
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the module's routes, as the service serves them to `caller`: below `/<command>`."""
    app = FastAPI()
    app.state.agent = SimpleNamespace(container=container)
    errors.install(app)
    add_module_routes(app, [module])

    async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["principal"] = caller
        await app(scope, receive, send)

    transport = httpx.ASGITransport(let_in)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client
