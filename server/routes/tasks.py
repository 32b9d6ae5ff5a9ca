"""Background tasks, for operators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from core.access import ScopeMissing
from core.task_queue import TaskQueue, TaskStatus
from core.task_queue.errors import TaskEnded, TaskNotFound
from server.errors import InvalidRequest
from server.routes.common import OpenAgent, problems

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
) -> list[dict[str, Any]]:
    """What was asked of the queue and what became of it, the last added first."""
    queue = await agent.container.get(TaskQueue)
    return [record.as_json() for record in await queue.list(status=status, name=name, limit=limit)]


@router.get("/{task_id}")
async def show_task(task_id: str, agent: OpenAgent) -> dict[str, Any]:
    """One task: its state, progress, attempts and last error."""
    return (await (await agent.container.get(TaskQueue)).get(task_id)).as_json()


@router.post("/{task_id}/cancel", responses=problems(TaskEnded))
async def cancel_task(task_id: str, agent: OpenAgent) -> dict[str, Any]:
    """End a queued task; stop a running one, wherever it runs, within seconds."""
    return (await (await agent.container.get(TaskQueue)).cancel(task_id)).as_json()
