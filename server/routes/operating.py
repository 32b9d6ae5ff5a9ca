"""What whoever runs the service looks at: breakers, storage, settings, the deploy check, the audit log.

The gate says which scope each path takes (see `server.middleware.auth`).
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.access import ScopeMissing
from core.database.engine import database_url
from core.errors import NotFound
from core.events.reading import AuditReader
from core.resilience.status import ALL, ask_reset, breakers_folder, running
from core.settings import Places
from core.settings.platform import StorageSettings
from graph.service.plans import PlanNotFound
from graph.threads.sizes import measure
from nodes.config import ConfigManager
from nodes.config.errors import UnknownPart
from nodes.file_storage.ports import FileStore
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.requests import ID_PATTERN
from server.routes.common import OpenAgent, problems
from server.shapes.form import Json, Shape
from server.shapes.insight import AuditLine
from server.shapes.operators import (
    BreakerReset,
    BreakerShown,
    DeployReport,
    PlanShown,
    SettingShown,
    StorageTop,
)

router = APIRouter(tags=["operators"], responses=problems(ScopeMissing, InvalidRequest))


class Target(BaseModel, extra="forbid", strict=True):
    """A breaker."""

    target: str = Field(max_length=400, description="KIND:NAME as GET /breakers shows it, or all.")


@router.get("/breakers")
async def breakers(agent: OpenAgent) -> Annotated[list[Json], Shape(list[BreakerShown])]:
    """What each process here knows of the things it calls; one that never saw a breaker open knows none."""
    found = running(breakers_folder(await agent.container.get(Places)))
    return [{"pid": pid, **target} for pid, targets in found.items() for target in targets]


@router.post("/breakers/reset", responses=problems(NotFound))
async def reset_breaker(agent: OpenAgent, wanted: Target) -> Annotated[dict[str, str], Shape(BreakerReset)]:
    """Close a breaker by hand: the next call goes through, in every process."""
    folder = breakers_folder(await agent.container.get(Places))
    known = {f"{each['kind']}:{each['name']}" for found in running(folder).values() for each in found}
    if wanted.target not in {*known, ALL}:
        names = ", ".join(sorted(known)) or "none, as no breaker has opened"
        raise NotFound(f"no target '{wanted.target[:100]}' in a running process; known: {names}")
    ask_reset(folder, wanted.target)
    return {"reset": wanted.target}


@router.get("/storage/top")
async def storage_top(
    agent: OpenAgent,
    limit: Annotated[int, Query(ge=1, le=1000, description="Threads that are shown.")] = 20,
    files: Annotated[bool, Query(description="Count files too; that lists every owner's files.")] = False,
) -> Annotated[Json, Shape(StorageTop)]:
    """The threads that take most, everybody's, and what all take together. It reads every row's length."""
    began = time.perf_counter()
    store = await agent.container.get(FileStore) if files else None
    sizes = await measure(agent.engine, store)
    return {
        "threads": [thread.as_json() for thread in sizes.threads[:limit]],
        "totals": sizes.totals(),
        "duration_ms": round((time.perf_counter() - began) * 1000, 1),
    }


@router.get("/settings", responses=problems(UnknownPart))
async def settings(
    agent: OpenAgent,
    part: Annotated[str, Query(max_length=64, description="A section or file; without: all.")] = "",
) -> Annotated[list[Json], Shape(list[SettingShown])]:
    """Every value that holds now and where it comes from: a file and line, a variable, or the default.

    Secrets are masked.
    """
    manager = await agent.container.get(ConfigManager)
    return [{"key": s.key, "value": s.value, "origin": s.origin} for s in manager.settings(part)]


@router.get("/deploy/check")
async def deploy_check(
    agent: OpenAgent,
    limit: Annotated[int, Query(ge=0, le=2000, description="Finished threads that are looked at.")] = 50,
) -> Annotated[Json, Shape(DeployReport)]:
    """Whether live, waiting and recent threads would go on under the graph of this process."""
    # It takes all of LangGraph's serializer along, which no other route needs.
    from graph.deploy.report import report  # noqa: PLC0415

    url = database_url(agent.book[StorageSettings], await agent.container.get(Places))
    return await report(url, agent.graph, idle=limit)


@router.get("/audit")
async def audit(
    *,
    agent: OpenAgent,
    q: Annotated[str, Query(max_length=200, description="A part of the line.")] = "",
    user: Annotated[str | None, Query(max_length=255, description="Who did it.")] = None,
    what: Annotated[str | None, Query(max_length=64, description="Name of an event.")] = None,
    run: Annotated[str | None, Query(max_length=64, description="Id of a run.")] = None,
    before: Annotated[str | None, Query(max_length=40, description="`at` of the last line you have.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Annotated[list[Json], Shape(list[AuditLine])]:
    """Lines of the audit log of this machine, the newest first: who did what, when, with what outcome."""
    reader = AuditReader(await agent.container.get(Places))
    return await reader.find(q=q, who=user, what=what, run=run, before=before, limit=limit)


plans = APIRouter(tags=["runs"], prefix="/plans", responses=problems(InvalidRequest))


@plans.get("")
async def list_plans(
    agent: OpenAgent, who: Caller, limit: Annotated[int, Query(ge=1, le=100)] = 50
) -> Annotated[list[Json], Shape(list[PlanShown])]:
    """Runs that you have planned by the clock, the newest first."""
    return await (await agent.plans()).list(who, limit=limit)


@plans.delete("/{plan_id}", status_code=204, responses=problems(PlanNotFound))
async def delete_plan(
    plan_id: Annotated[str, Field(pattern=ID_PATTERN)], agent: OpenAgent, who: Caller
) -> None:
    """Take a planned run away; runs that it began go on."""
    await (await agent.plans()).delete(who, plan_id)
