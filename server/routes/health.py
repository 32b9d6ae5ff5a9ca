"""What operators and their machines ask."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response

from core.health import HealthState
from core.observability import metrics_text
from graph.service.fleet import WORKERS
from server.routes.common import OpenAgent
from server.shapes.form import Json, Shape
from server.shapes.operators import Live, Ready, ServiceHealth

router = APIRouter(tags=["operators"])

Readiness = Annotated[dict[str, str], Shape(Ready)]
_UNREADY: dict[int | str, Any] = {503: {"description": "a turn would not work now", "model": Readiness}}


@router.get("/health/live")
async def live() -> Annotated[dict[str, str], Shape(Live)]:
    """The process answers. Touches nothing else."""
    return {"status": "live"}


@router.get("/health/ready", responses=_UNREADY)
async def ready(agent: OpenAgent, response: Response) -> Readiness:
    """Whether a turn would work now: 200 or 503. `degraded` where it would have to wait, and why."""
    if agent.draining:
        response.status_code = 503
        return {"status": "draining"}
    if not await agent.health.ready():
        response.status_code = 503
        return {"status": "not ready"}
    workers = (await agent.health.report()).get(WORKERS)
    if workers is not None and workers.state is not HealthState.HEALTHY:
        # Another process in its place would have no more of them.
        return {"status": "degraded", "reason": workers.reason}
    return {"status": "ready"}


@router.get("/health")
async def health(agent: OpenAgent) -> Annotated[Json, Shape(ServiceHealth)]:
    """The state of every module and of what they lean on: why it is so, and since when."""
    report = await agent.health.report()
    state = HealthState.FAILED if agent.draining else await agent.health.overall()
    modules = {state.module.name for state in agent.module_states}
    return {
        "status": state.value,
        "draining": agent.draining,
        "modules": {name: found.as_json() for name, found in report.items() if name in modules},
        "platform": {name: found.as_json() for name, found in report.items() if name not in modules},
    }


@router.get("/metrics", response_class=Response)
async def metrics() -> Response:
    """Prometheus' text format."""
    return Response(metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")
