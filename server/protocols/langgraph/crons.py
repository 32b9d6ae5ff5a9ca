"""`/runs/crons`: runs by the clock, which belong to whoever plans them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from core.access import Principal
from core.foreign import as_bytes
from graph.agent import Agent
from graph.runs.record import OnBusy, TurnRequest
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.protocols.langgraph.reading import Id, RunBody, check_served, request_of, said_in
from server.protocols.langgraph.shapes import selected
from server.protocols.langgraph.words import ASSISTANT, NotOffered, check_assistant
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("langgraph", "/langgraph")

Text = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_SHOWN = ("assistant_id", "input", "config", "context", "metadata", "webhook", "multitask_strategy")
_MOST_BYTES = 65_536


class CronBody(RunBody):
    """A planned run as the SDK asks for it."""

    schedule: Text
    timezone: Text | None = None
    end_time: AwareDatetime | datetime | None = None
    enabled: bool = True
    on_run_completed: Literal["delete", "keep"] | None = None


class CronChange(BaseModel, extra="ignore"):
    """What is to change of one."""

    schedule: Text | None = None
    timezone: Text | None = None
    end_time: AwareDatetime | datetime | None = None
    enabled: bool | None = None
    input: Any = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    webhook: str | None = Field(None, max_length=2000)
    interrupt_before: Any = None
    interrupt_after: Any = None


@router.post("/threads/{thread_id}/runs/crons")
async def create_for_thread(thread_id: Id, body: CronBody, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """Plan a run on a thread."""
    await agent.threads.get(who, thread_id)
    return await _created(agent, who, thread_id, body)


@router.post("/runs/crons")
async def create(body: CronBody, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """Plan a run, each time on a new thread, which stays."""
    if body.on_run_completed == "delete":
        raise NotOffered(
            "on_run_completed 'delete' is not served; threads.keep_days deletes what nobody uses"
        )
    return await _created(agent, who, None, body)


async def _created(agent: Agent, who: Principal, thread_id: str | None, body: CronBody) -> dict[str, Any]:
    request, payload = _planned(who, thread_id, body)
    plans = await agent.plans()
    made = await plans.create(
        request,
        schedule=body.schedule,
        timezone=body.timezone,
        end_at=_seconds(body.end_time),
        enabled=body.enabled,
        payload=payload,
        metadata=body.metadata or {},
    )
    return _cron(who, made)


def _planned(who: Principal, thread_id: str | None, body: RunBody) -> tuple[TurnRequest, dict[str, Any]]:
    check_assistant(body.assistant_id)
    check_served(body)
    said = said_in(body.input)
    if said is None:
        raise InvalidRequest("input: a planned run begins with a message")
    if said.content.files:
        raise NotOffered(
            "a planned run has no files in its message; upload them, and name their keys in input"
        )
    if body.command or body.at:
        raise NotOffered("a planned run has a message; command and checkpoint are not served there")
    on_busy: OnBusy = "reject" if body.multitask_strategy == "reject" else "enqueue"
    request = request_of(who, thread_id, body, said, on_busy=on_busy, background=True)
    request = replace(request, delay=0)  # the clock says when
    payload = {name: value for name in _SHOWN if (value := getattr(body, name)) is not None}
    if len(as_bytes(payload)) > _MOST_BYTES:
        raise InvalidRequest(f"a planned run has at most {_MOST_BYTES} bytes")
    return request, payload


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError, OSError):
        raise InvalidRequest("end_time: is out of reach") from None


class CronSearch(BaseModel, extra="ignore"):
    """Which planned runs are looked for."""

    assistant_id: str | None = None
    thread_id: Id | None = None
    enabled: bool | None = None
    metadata: dict[str, Any] | None = None
    limit: int = Field(10, ge=1, le=100)
    offset: int = Field(0, ge=0, le=10_000)
    select: list[str] | None = None


@router.post("/runs/crons/search")
async def search(body: CronSearch, agent: OpenAgent, who: Caller) -> list[dict[str, Any]]:
    """One's own, the newest first."""
    found = await _found(agent, who, body)
    page = found[body.offset : body.offset + body.limit]
    return [selected(_cron(who, plan), body.select) for plan in page]


@router.post("/runs/crons/count")
async def count(body: CronSearch, agent: OpenAgent, who: Caller) -> int:
    """How many there are."""
    return len(await _found(agent, who, body))


async def _found(agent: Agent, who: Principal, body: CronSearch) -> list[dict[str, Any]]:
    if body.assistant_id is not None:
        check_assistant(body.assistant_id)
    plans = await agent.plans()
    found = await plans.list(who, thread_id=body.thread_id, enabled=body.enabled, limit=1000)
    wanted = (body.metadata or {}).items()
    return [plan for plan in found if all(plan["metadata"].get(name) == value for name, value in wanted)]


@router.patch("/runs/crons/{cron_id}")
async def change(cron_id: Id, body: CronChange, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """Change when it is due, what it says, or whether it is on."""
    plans = await agent.plans()
    known = await plans.get(who, cron_id)
    given = body.model_dump(exclude_unset=True, exclude={"schedule", "timezone", "end_time", "enabled"})
    values: dict[str, Any] = {name: given["metadata"] or {} for name in ("metadata",) if name in given}
    if body.enabled is not None:
        values["enabled"] = body.enabled
    request = None
    if given:
        request, values["payload"] = _planned(
            who, known["thread_id"], RunBody(**{**known["payload"], **given})
        )
    made = await plans.change(
        who,
        cron_id,
        schedule=body.schedule or known["schedule"],
        timezone=body.timezone or known["timezone"],
        end_at=_seconds(body.end_time) if "end_time" in body.model_fields_set else _end(known),
        request=request,
        **values,
    )
    return _cron(who, made)


def _end(known: dict[str, Any]) -> float | None:
    return None if known["end_at"] is None else datetime.fromisoformat(known["end_at"]).timestamp()


@router.delete("/runs/crons/{cron_id}", status_code=204)
async def delete(cron_id: Id, agent: OpenAgent, who: Caller) -> None:
    """Take it away."""
    await (await agent.plans()).delete(who, cron_id)


def _cron(who: Principal, plan: dict[str, Any]) -> dict[str, Any]:
    names = (
        "thread_id",
        "schedule",
        "timezone",
        "created_at",
        "updated_at",
        "payload",
        "metadata",
        "enabled",
    )
    return {
        "cron_id": plan["id"],
        "assistant_id": ASSISTANT,
        "user_id": who.id,
        "end_time": plan["end_at"],
        "next_run_date": plan["next_at"],
        "on_run_completed": "keep",
        **{name: plan[name] for name in names},
    }
