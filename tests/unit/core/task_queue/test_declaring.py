"""What a module may declare as a task, and when the clock makes one due."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from core.task_queue import Task, TaskContext, TaskStatus
from core.task_queue.sweeper import Schedule
from core.task_queue.task import LONGEST_BACKOFF_S
from tests.kit.task_queues import eventually, opened_queue
from tests.kit.task_worker import Item

pytestmark = pytest.mark.slow


class Nothing(BaseModel):
    pass


class Scalars(BaseModel):
    source: str
    page: int | None = None
    again: bool = False
    mode: Literal["new", "all"] = "new"
    name: Annotated[str, Field(max_length=5)] = ""


class Lists(BaseModel):
    sources: list[str]


class Floats(BaseModel):
    share: float | None = None


async def run(_: Any, __: TaskContext) -> None:
    """Done."""


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_arguments_are_ids_and_flags() -> None:
    task = Task("work", Scalars, run)
    assert task.parse({"source": "handbook"}).mode == "new"
    for model in (Lists, Floats):
        with pytest.raises(ValueError, match="must be str, int, bool or None"):
            Task("work", model, run)


@pytest.mark.parametrize("name", ["", "Work", "1work", "w" * 41, "a-b"])
def test_a_name_is_one_that_fits_everywhere(name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        Task(name, Item, run)


@pytest.mark.parametrize("options", [{"attempts": 0}, {"deadline_s": 0}, {"backoff_s": -1}])
def test_numbers_make_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must make sense"):
        Task("work", Item, run, **options)


def test_a_schedule_is_read_when_it_is_declared() -> None:
    with pytest.raises(ValueError, match="cron 'every day'"):
        Task("work", Nothing, run, cron="every day")
    with pytest.raises(ValueError, match="no argument may be required"):
        Task("work", Item, run, cron="0 3 * * *")


def test_pauses_double_up_to_an_hour() -> None:
    task = Task("work", Item, run, backoff_s=5)
    assert [task.backoff(n) for n in (1, 2, 3)] == [5, 10, 20]
    assert task.backoff(50) == LONGEST_BACKOFF_S


def test_a_due_time_comes_once_and_of_several_missed_ones_only_the_last() -> None:
    tasks = [Task("nightly", Nothing, run, cron="0 3 * * *"), Task("never", Nothing, run)]
    schedule = Schedule(tasks, at("2026-03-01T12:00"))
    assert schedule.due(at("2026-03-02T02:59:59")) == []
    assert schedule.due(at("2026-03-02T03:00")) == [("nightly", at("2026-03-02T03:00"))]
    assert schedule.due(at("2026-03-02T03:01")) == []
    assert schedule.due(at("2026-03-05T12:00")) == [("nightly", at("2026-03-05T03:00"))]


async def test_two_workers_add_one_task_for_each_due_time(tmp_path: Path) -> None:
    ran: list[str] = []

    async def note(_: Nothing, context: TaskContext) -> None:
        ran.append(context.task_id)
        assert context.principal.id == "system"

    ticking = Task("tick", Nothing, note, cron="* * * * * *")

    async def three() -> bool:
        return len(ran) >= 3

    async with opened_queue(tmp_path, [ticking]) as queue, opened_queue(tmp_path, [ticking]):
        await eventually(three)
    async with opened_queue(tmp_path, [ticking], worker=False) as queue:
        records = await queue.list()
    assert len(ran) == len(set(ran))
    assert len({record.due_at for record in records}) == len(records)
    assert all(record.attempts == 1 for record in records if record.status is TaskStatus.DONE)


async def test_a_due_time_that_finds_the_task_before_it_open_is_skipped(tmp_path: Path) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_: Nothing, __: TaskContext) -> None:
        begun.set()
        await go.wait()

    async def later() -> bool:
        return datetime.now(UTC).timestamp() >= first.due_at + 2.5

    async with opened_queue(tmp_path, [Task("tick", Nothing, slow, cron="* * * * * *")]) as queue:
        await begun.wait()
        (first,) = await queue.list()
        await eventually(later)
        assert [record.id for record in await queue.list()] == [first.id]
        go.set()
