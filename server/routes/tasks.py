"""Background tasks, for operators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.access import ScopeMissing
from core.task_queue import TaskQueue, TaskStatus
from core.task_queue.errors import TaskArgumentsInvalid, TaskEnded, TaskNotFound, UnknownTask
from server.errors import InvalidRequest
from server.routes.common import OpenAgent, problems
from server.shapes.form import Json, Shape
from server.shapes.operators import KnownTask, TaskShown

router = APIRouter(
    prefix="/tasks", tags=["operators"], responses=problems(ScopeMissing, TaskNotFound, InvalidRequest)
)


@router.get("")
async def list_tasks(
    *,
    agent: OpenAgent,
    status: Annotated[TaskStatus | None, Query(description="Only tasks in this state.")] = None,
    name: Annotated[str | None, Query(max_length=64, description="Only tasks of this name.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Annotated[list[Json], Shape(list[TaskShown])]:
    """What was asked of the queue and what became of it, the last added first."""
    queue = await agent.container.get(TaskQueue)
    return [record.as_json() for record in await queue.list(status=status, name=name, limit=limit)]


class NewTask(BaseModel, extra="forbid", strict=True):
    """A task that shall run now."""

    name: str = Field(max_length=64, description="One of GET /tasks/known.")
    arguments: dict[str, Any] = Field(default_factory=dict)


@router.post("", status_code=201, responses=problems(UnknownTask, TaskArgumentsInvalid))
async def add_task(agent: OpenAgent, wanted: NewTask) -> Annotated[Json, Shape(TaskShown)]:
    """Run a task now, for the service itself; one of the clock does not wait for its time."""
    queue = await agent.container.get(TaskQueue)
    return (await queue.add(wanted.name, wanted.arguments, owner=queue.system)).as_json()


@router.get("/known")
async def known_tasks(agent: OpenAgent) -> Annotated[list[Json], Shape(list[KnownTask])]:
    """Every task that there is: what it takes, and of one by the clock its schedule and next time (UTC)."""
    return (await agent.container.get(TaskQueue)).known()


@router.get("/{task_id}")
async def show_task(task_id: str, agent: OpenAgent) -> Annotated[Json, Shape(TaskShown)]:
    """One task: its state, progress, attempts and last error."""
    return (await (await agent.container.get(TaskQueue)).get(task_id)).as_json()


@router.post("/{task_id}/cancel", responses=problems(TaskEnded))
async def cancel_task(task_id: str, agent: OpenAgent) -> Annotated[Json, Shape(TaskShown)]:
    """End a queued task; stop a running one, wherever it runs, within seconds."""
    return (await (await agent.container.get(TaskQueue)).cancel(task_id)).as_json()
