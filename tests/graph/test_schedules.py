"""Runs that begin by the clock: as tasks of the queue, for their user, once per due time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.access import Principal
from core.choices import Choices
from core.settings.schedules import ScheduledRun, ScheduleSettings
from core.task_queue import TaskContext
from core.task_queue.task import NoArguments
from graph import Agent
from graph.service.schedules import request_of, scheduled_tasks
from waystation.testing.agents import open_agent

ADA = Principal("ada")
MORNING: dict[str, Any] = {
    "name": "morning",
    "cron": "0 7 * * *",
    "message": "What is 5 + 3?",
    "user": "ada",
    "thread": "daily",
}


async def _nothing(done: float, total: float | None, message: str) -> None:
    return None


async def begin(agent: Agent, settings: ScheduleSettings, task_id: str) -> None:
    (task,) = scheduled_tasks(settings)
    context = TaskContext(agent.container, Principal("system"), task_id, 1, _nothing)
    await task.run(NoArguments(), context)


async def test_a_scheduled_run_is_its_users_and_begins_once_per_due_time(tmp_path: Path) -> None:
    settings = ScheduleSettings(runs=[ScheduledRun(**MORNING)])
    async with open_agent(tmp_path, schedules=settings.model_dump()) as agent:
        for task_id in ("run_morning-20260101T070000", "run_morning-20260101T070000", "run_morning-2"):
            await begin(agent, settings, task_id)
            newest = (await agent.runs.list(ADA, thread_id="daily"))[0]
            ended = await agent.runs.wait(ADA, newest.id, timeout=30)
            assert ended.output is not None
            assert ended.output["answer"] == "5 + 3 = 8"
        assert len(await agent.runs.list(ADA, thread_id="daily")) == 2
        assert not await agent.runs.list(Principal("bob"))


async def test_each_enabled_schedule_is_a_task_of_the_queue(tmp_path: Path) -> None:
    evening = {**MORNING, "name": "evening", "enabled": False}
    settings = ScheduleSettings(runs=[ScheduledRun(**MORNING), ScheduledRun(**evening)])
    assert [(task.name, task.cron) for task in scheduled_tasks(settings)] == [("run_morning", "0 7 * * *")]


async def test_g6_a_schedule_does_not_switch_approval_off(tmp_path: Path) -> None:
    settings = ScheduleSettings(runs=[ScheduledRun(**{**MORNING, "approval": "auto"})])
    files = {"mcp.json": '{"calculator": {"require_approval": ["*"]}}'}
    async with open_agent(tmp_path, files=files, schedules=settings.model_dump()) as agent:
        await begin(agent, settings, "run_morning-1")
        (begun,) = await agent.runs.list(ADA, thread_id="daily")
        ended = await agent.runs.wait(ADA, begun.id, timeout=60)
    assert (ended.status, ended.reason) == ("interrupted", "person")


def test_a_schedule_that_is_none_is_refused_with_an_example() -> None:
    with pytest.raises(ValidationError, match=r"such as '0 7 \* \* 1-5'"):
        ScheduledRun(**{**MORNING, "cron": "at dawn"})
    with pytest.raises(ValidationError, match="two scheduled runs are called 'morning'"):
        ScheduleSettings(runs=[ScheduledRun(**MORNING), ScheduledRun(**MORNING)])


def test_a_schedule_chooses_all_that_a_caller_may_choose() -> None:
    chosen = {"model": "m", "tools": ["clock"], "sources": ["*"], "max_steps": 3, "top_p": 0.5}
    request = request_of(ScheduledRun(**MORNING, **chosen), key="k")
    assert request.choices == Choices(model="m", tools=["clock"], max_steps=3, top_p=0.5, approval="deny")
    with pytest.raises(ValidationError, match="top_p"):
        ScheduledRun(**{**MORNING, "top_p": 2})
