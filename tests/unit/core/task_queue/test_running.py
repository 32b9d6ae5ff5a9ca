"""Tasks that run: how they end, what is tried again, what the ledger shows meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from dishka import Provider, Scope, make_async_container

from core.correlation import current
from core.database.outage import DatabaseUnavailable
from core.errors import ConfigInvalid, InvalidInput, NotFound, Unavailable
from core.health import HealthState
from core.task_queue import (
    Task,
    TaskArgumentsInvalid,
    TaskContext,
    TaskEnded,
    TaskNotFound,
    TaskStatus,
    UnknownTask,
)
from core.task_queue.ledger import Ledger
from tests.kit.task_queues import ADA, PATIENCE_S, Work, opened_queue, quick, until
from tests.kit.task_worker import Item

pytestmark = pytest.mark.slow


class Busy(Unavailable):
    code = "busy"

    def __init__(self, retry_after: float) -> None:
        super().__init__("try later")
        self.retry_after = retry_after


async def test_a_task_runs_for_its_owner_with_the_services_of_the_container(tmp_path: Path) -> None:
    seen: list[object] = []

    async def run(arguments: Item, context: TaskContext) -> None:
        principal = context.principal
        seen.extend(
            (arguments, principal, await context.container.get(Path), context.attempt, current().user)
        )

    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: tmp_path, provides=Path)
    async with opened_queue(
        tmp_path, [Task("work", Item, run)], container=make_async_container(provider)
    ) as queue:
        record = await queue.add("work", Item(item="a"), owner=ADA)
        assert record.status is TaskStatus.QUEUED
        done = await queue.wait(record.id, PATIENCE_S)
    assert done.status is TaskStatus.DONE
    assert (done.attempts, done.error, done.owner) == (1, "", ADA)
    assert done.created_at <= (done.started_at or 0) <= (done.ended_at or 0)
    assert seen == [Item(item="a"), ADA, tmp_path, 1, "ada"]


async def test_what_fails_is_tried_again_with_growing_pauses_and_then_has_failed(tmp_path: Path) -> None:
    work = Work(attempts=3, backoff_s=0.1)
    work.plan("a", *[Unavailable("the index does not answer")] * 3)
    dues = set()
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        async with asyncio.timeout(PATIENCE_S):
            while not (now := await queue.get(record.id)).ended:
                dues.add(now.due_at)
                await asyncio.sleep(0.005)
    assert (now.status, now.attempts, work.attempts["a"]) == (TaskStatus.FAILED, 3, 3)
    assert now.error == "unavailable: the index does not answer"
    first, second, third = sorted(dues)
    assert second - first >= 0.1
    assert third - second >= 0.2


async def test_an_attempt_that_goes_well_after_one_that_failed_is_a_success(tmp_path: Path) -> None:
    work = Work()
    work.plan("a", OSError("once"), None)
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.error, done.attempts) == (TaskStatus.DONE, "", 2)


async def test_of_a_foreign_error_the_ledger_keeps_the_type_and_not_the_text(tmp_path: Path) -> None:
    work = Work(attempts=1)
    work.plan("a", OSError("password=hunter2"))
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        ended = await queue.wait(record.id, PATIENCE_S)
    assert (ended.status, ended.error) == (TaskStatus.FAILED, "OSError")


async def test_an_error_that_another_attempt_cannot_mend_fails_at_once(tmp_path: Path) -> None:
    work = Work(attempts=3)
    work.plan("a", NotFound("no source 'wiki'"))
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        ended = await queue.wait(record.id, PATIENCE_S)
    assert (ended.status, ended.attempts, ended.error) == (
        TaskStatus.FAILED,
        1,
        "not_found: no source 'wiki'",
    )


async def test_an_error_that_says_when_to_come_back_is_believed(tmp_path: Path) -> None:
    work = Work()
    work.plan("a", Busy(retry_after=500))
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        waiting = await until(queue, record.id, lambda r: bool(r.error))
    assert waiting.status is TaskStatus.QUEUED
    assert waiting.due_at - record.created_at >= 500


async def test_an_attempt_that_misses_its_deadline_is_stopped_and_tried_again(tmp_path: Path) -> None:
    work = Work(attempts=2, deadline_s=0.2)
    work.hold("a")
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        ended = await queue.wait(record.id, PATIENCE_S)
    assert (ended.status, ended.attempts) == (TaskStatus.FAILED, 2)
    assert ended.error == "timed_out: not done within 0.2 s"
    assert work.running["a"] == 0


async def test_a_timeout_of_the_tasks_own_is_a_failure_like_others(tmp_path: Path) -> None:
    work = Work(attempts=1)
    work.plan("a", TimeoutError())
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        assert (await queue.wait(record.id, PATIENCE_S)).error == "TimeoutError"


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_too(tmp_path: Path) -> None:
    work = Work(attempts=1)
    work.plan("a", asyncio.CancelledError())
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        assert (await queue.wait(record.id, PATIENCE_S)).error == "CancelledError"


async def test_progress_is_seen_while_the_task_runs(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        context = work.contexts[0]
        await context.progress(1, 4, "reading")
        assert (await queue.get(record.id)).message == "reading"
        # What comes too quickly one after the other is shown with the next sign of life.
        await context.progress(2, 4)
        await context.progress(3, 4)
        now = await until(queue, record.id, lambda r: r.progress == 3)
        assert (now.status, now.total) == (TaskStatus.RUNNING, 4)
        await context.progress(4, 4)
        work.let_go("a")
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.progress) == (TaskStatus.DONE, 4)


async def test_of_ten_adds_at_once_with_one_key_there_is_one_task(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task]) as queue:
        records = await asyncio.gather(
            *(queue.add("work", {"item": "a"}, key="handbook", owner=ADA) for _ in range(10))
        )
        assert len({record.id for record in records}) == 1
        await work.begun("a")
        again = await queue.add("work", {"item": "a"}, key="handbook", owner=ADA)
        assert (again.id, again.status) == (records[0].id, TaskStatus.RUNNING)
        work.let_go("a")
        await queue.wait(again.id, PATIENCE_S)
        after = await queue.add("work", {"item": "a"}, key="handbook", owner=ADA)
        assert after.id != again.id
        await queue.wait(after.id, PATIENCE_S)
    assert work.most_at_once["a"] == 1


async def test_a_delayed_task_waits_for_its_time(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task]) as queue:
        late = await queue.add("work", {"item": "late"}, owner=ADA, delay_s=0.4)
        soon = await queue.add("work", {"item": "soon"}, owner=ADA)
        await queue.wait(soon.id, PATIENCE_S)
        done = await queue.wait(late.id, PATIENCE_S)
    assert work.order == ["soon", "late"]
    assert done.started_at is not None
    assert done.started_at - late.created_at >= 0.4


async def test_no_more_run_at_once_than_the_settings_allow(tmp_path: Path) -> None:
    work = Work()
    items = [str(n) for n in range(6)]
    work.hold(*items)
    async with opened_queue(tmp_path, [work.task], settings=quick(concurrency=2)) as queue:
        records = [await queue.add("work", {"item": item}, owner=ADA) for item in items]
        for item in items:
            await work.begun(item)
            assert work.running.total() <= 2
            work.let_go(item)
        for record in records:
            assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE
    assert sorted(work.order) == items


async def test_a_queued_task_that_is_cancelled_never_runs(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA, delay_s=0.3)
        assert (await queue.cancel(record.id)).status is TaskStatus.CANCELLED
        assert (await queue.cancel(record.id)).status is TaskStatus.CANCELLED
        later = await queue.add("work", {"item": "b"}, owner=ADA, delay_s=0.5)
        await queue.wait(later.id, PATIENCE_S)
    assert work.order == ["b"]


async def test_a_running_task_that_is_cancelled_stops(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        assert (await queue.cancel(record.id)).cancel_requested
        assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.CANCELLED
    assert work.attempts["a"] == 1


async def test_another_process_can_cancel_what_runs_here(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")
    async with (
        opened_queue(tmp_path, [work.task]) as here,
        opened_queue(tmp_path, [work.task], worker=False) as other,
    ):
        record = await here.add("work", {"item": "a"}, owner=ADA)
        await work.begun("a")
        await other.cancel(record.id)
        assert (await other.wait(record.id, PATIENCE_S)).status is TaskStatus.CANCELLED
    assert work.running["a"] == 0


async def test_what_has_ended_cannot_be_cancelled(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        await queue.wait(record.id, PATIENCE_S)
        with pytest.raises(TaskEnded, match="done already"):
            await queue.cancel(record.id)
        with pytest.raises(TaskNotFound):
            await queue.cancel("nothing")


async def test_the_table_of_what_ran_can_be_filtered_and_pruned(tmp_path: Path) -> None:
    work, other = Work(), Work("other", attempts=1)
    other.plan("b", OSError())
    async with opened_queue(tmp_path, [work.task, other.task]) as queue:
        first = await queue.add("work", {"item": "a"}, owner=ADA)
        second = await queue.add("other", {"item": "b"}, owner=ADA)
        third = await queue.add("work", {"item": "c"}, owner=ADA, delay_s=100)
        ended = [await queue.wait(one.id, PATIENCE_S) for one in (first, second)]
        assert [r.id for r in await queue.list()] == [third.id, second.id, first.id]
        assert [r.id for r in await queue.list(name="other")] == [second.id]
        assert [r.id for r in await queue.list(status=TaskStatus.QUEUED)] == [third.id]
        assert [r.id for r in await queue.list(limit=1)] == [third.id]
        json.dumps([r.as_json() for r in await queue.list()])
        assert await queue.prune(min(r.ended_at or 0 for r in ended)) == 0
        assert await queue.prune(max(r.ended_at or 0 for r in ended) + 1) == 2
        assert [r.id for r in await queue.list()] == [third.id]


async def test_what_cannot_be_added_is_said_with_the_remedy(tmp_path: Path) -> None:
    async with opened_queue(tmp_path, [Work().task], worker=False) as queue:
        with pytest.raises(UnknownTask, match="did you mean 'work'"):
            await queue.add("wrok", {}, owner=ADA)
        with pytest.raises(UnknownTask, match="known: work"):
            await queue.add("x", {}, owner=ADA)
        with pytest.raises(TaskArgumentsInvalid, match="item: Field required"):
            await queue.add("work", {}, owner=ADA)
        with pytest.raises(InvalidInput, match="200 characters"):
            await queue.add("work", {"item": "a"}, key="k" * 201, owner=ADA)
        with pytest.raises(TaskNotFound):
            await queue.get("nothing")


async def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="two tasks are called 'work'"):
        async with opened_queue(tmp_path, [Work().task, Work().task]):
            pass


async def test_waiting_for_a_task_ends_with_its_time(tmp_path: Path) -> None:
    async with opened_queue(tmp_path, [Work().task], worker=False) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        assert (await queue.wait(record.id, 0.1)).status is TaskStatus.QUEUED
        health = await queue.check()
    assert health.state is HealthState.HEALTHY
    assert health.details == {
        "waiting": 1,
        "later": 0,
        "running": 0,
        "worker": False,
        "queue": "in process",
    }


async def test_st6_an_attempt_that_failed_for_a_database_that_was_away_does_not_count(tmp_path: Path) -> None:
    work = Work(attempts=1)
    away = DatabaseUnavailable("is locked by another program")
    away.retry_after = 0.01
    work.plan("a", away, away, None)
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts, work.attempts["a"]) == (TaskStatus.DONE, 1, 3)


async def test_st6_what_a_task_did_is_written_down_when_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, finish, tries = Work(), Ledger.finish, []

    async def away_once(self: Ledger, *args: Any, **options: Any) -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise DatabaseUnavailable("does not answer")
        return await finish(self, *args, **options)

    monkeypatch.setattr(Ledger, "finish", away_once)
    async with opened_queue(tmp_path, [work.task]) as queue:
        record = await queue.add("work", {"item": "a"}, owner=ADA)
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, work.attempts["a"], len(tries)) == (TaskStatus.DONE, 1, 2)


async def test_in_this_process_a_task_begins_when_it_is_due_and_not_at_the_next_look(tmp_path: Path) -> None:
    work = Work()
    async with opened_queue(tmp_path, [work.task], settings=quick(poll_s=60)) as queue:
        later = await queue.add("work", {"item": "later"}, owner=ADA, delay_s=0.3)
        now = await queue.add("work", {"item": "now"}, owner=ADA)
        for record in (now, later):
            assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE
    assert work.order == ["now", "later"]
