"""Runs that callers plan by the clock: begun once each time, with the rights of whoever planned them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from core.access import Principal
from core.errors import InvalidInput
from graph import Agent
from graph.db.tables import plans as table
from graph.runs.record import TurnRequest
from graph.service.plans import Clock, PlanNotFound
from graph.service.reception import Reception
from waystation.testing.agents import open_agent

ADA, BOB = Principal("ada", frozenset({"staff"})), Principal("bob")


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("plans"), tools=()) as agent:
        yield agent


async def planned(agent: Agent, **more: Any) -> dict[str, Any]:
    return await (await agent.plans()).create(
        TurnRequest(ADA, "Who are you?", on_disconnect="continue"),
        **{"schedule": "0 7 * * *", "payload": {}, "metadata": {}, **more},
    )


async def due(agent: Agent, plan: dict[str, Any]) -> None:
    async with agent.engine.begin() as db:
        await db.execute(update(table).where(table.c.id == plan["id"]).values(next_at=1000.0))


async def test_what_is_due_begins_once_and_is_due_again(agent: Agent) -> None:
    plans, plan = await agent.plans(), await planned(agent)
    reception = await agent.container.get(Reception)
    assert await plans.begin_due(reception) == 0
    for _ in range(2):
        # A process that died before it could say that the run has begun.
        await due(agent, plan)
        assert await plans.begin_due(reception) == 1
    (run,) = await agent.runs.list(ADA)
    assert run.request.principal.groups == {"staff"}
    assert (await agent.runs.wait(ADA, run.id, timeout=60)).status == "done"
    later = datetime.fromisoformat((await plans.get(ADA, plan["id"]))["next_at"])
    assert later > datetime.now(UTC)
    assert await agent.runs.list(BOB) == []


async def test_one_whose_thread_is_gone_goes_on_with_the_others(agent: Agent) -> None:
    plans = await agent.plans()
    await agent.threads.create(BOB, thread_id="of-bob")
    request = TurnRequest(ADA, "Who are you?", thread_id="of-bob", on_disconnect="continue")
    plan = await plans.create(request, schedule="0 7 * * *", payload={}, metadata={})
    await due(agent, plan)
    assert await plans.begin_due(await agent.container.get(Reception)) == 1
    assert await agent.runs.list(ADA, thread_id="of-bob") == []


async def test_a_plan_is_its_owners(agent: Agent) -> None:
    plans, plan = await agent.plans(), await planned(agent)
    with pytest.raises(PlanNotFound):
        await plans.get(BOB, plan["id"])
    with pytest.raises(PlanNotFound):
        await plans.delete(BOB, plan["id"])
    assert await plans.list(BOB) == []


async def test_one_that_has_come_to_its_end_is_switched_off(agent: Agent) -> None:
    plans = await agent.plans()
    plan = await planned(agent, schedule="* * * * *", end_at=datetime.now(UTC).timestamp() + 90)
    await due(agent, plan)
    async with agent.engine.begin() as db:
        await db.execute(update(table).where(table.c.id == plan["id"]).values(end_at=1001.0))
    await plans.begin_due(await agent.container.get(Reception))
    found = await plans.get(ADA, plan["id"])
    assert (found["enabled"], found["next_at"]) == (False, None)


def test_a_clock_keeps_the_time_of_its_zone_over_the_change_to_summer_time() -> None:
    clock = Clock("0 8 * * *", "Europe/Berlin")
    winter = datetime(2026, 3, 28, 6, tzinfo=UTC).timestamp()
    first = clock.after(winter)
    assert first is not None
    second = clock.after(first)
    assert second is not None
    assert datetime.fromtimestamp(first, UTC).hour == 7
    assert datetime.fromtimestamp(second, UTC).hour == 6
    for bad in (Clock("0 8 * *"), Clock("x y z 1 2"), Clock("0 8 * * *", "../etc/passwd")):
        with pytest.raises(InvalidInput):
            bad.after(winter)
