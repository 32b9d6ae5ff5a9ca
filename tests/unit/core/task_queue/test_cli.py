"""The commands on a queue, in this process, on a real ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from core.access import Principal
from core.task_queue import Task, TaskContext, TaskRecord, TaskStatus
from core.task_queue.cli import make_tasks_app
from tests.kit.task_queues import PATIENCE_S, Work, opened_queue
from tests.kit.task_worker import Item

Waystation = Callable[..., Result]
BOB = Principal("bob")


@pytest.fixture
def tasks(tmp_path: Path) -> Waystation:
    """`tasks ...` beside no worker."""
    app = make_tasks_app(lambda: opened_queue(tmp_path, [Work().task], worker=False))
    return lambda *args: CliRunner().invoke(app, [*args])


def add(folder: Path, item: str) -> TaskRecord:
    async def adding() -> TaskRecord:
        async with opened_queue(folder, [Work().task], worker=False) as queue:
            return await queue.add("work", {"item": item}, owner=BOB)

    return asyncio.run(adding())


def work_off(folder: Path, *records: TaskRecord, plan: BaseException | None = None) -> None:
    async def working() -> None:
        work = Work(attempts=1)
        work.plan("bad", plan)
        async with opened_queue(folder, [work.task]) as queue:
            for record in records:
                await queue.wait(record.id, PATIENCE_S)

    asyncio.run(working())


def test_the_list_shows_state_attempts_and_errors(tmp_path: Path, tasks: Waystation) -> None:
    assert tasks("list").stdout == "(no tasks)\n"
    good, bad, new = add(tmp_path, "good"), add(tmp_path, "bad"), None
    work_off(tmp_path, good, bad, plan=OSError())
    new = add(tmp_path, "new")
    lines = tasks("list").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        [new.id, "work", "queued"],
        [bad.id, "work", "failed"],
        [good.id, "work", "done"],
    ]
    assert lines[2].endswith("OSError")
    found = json.loads(tasks("list", "--status", "failed", "--name", "work", "--json").stdout)
    assert [(one["id"], one["error"], one["owner"]) for one in found] == [(bad.id, "OSError", "bob")]


def test_one_task_is_shown_with_all_that_is_known(tmp_path: Path, tasks: Waystation) -> None:
    record = add(tmp_path, "a")
    shown = tasks("show", record.id).stdout
    assert 'arguments:        {"item": "a"}' in shown
    assert "status:           queued" in shown
    assert json.loads(tasks("show", record.id, "--json").stdout)["arguments"] == {"item": "a"}
    missing = tasks("show", "nothing")
    assert missing.exit_code == 1
    assert missing.stderr == "task_not_found: no task 'nothing'\n"


def test_a_queued_task_is_cancelled_and_an_ended_one_is_not(tmp_path: Path, tasks: Waystation) -> None:
    record, done = add(tmp_path, "a"), add(tmp_path, "b")
    assert tasks("cancel", record.id).stdout == "cancelled\n"
    assert json.loads(tasks("cancel", record.id, "--json").stdout)["status"] == "cancelled"
    work_off(tmp_path, done)
    refused = tasks("cancel", done.id)
    assert (refused.exit_code, refused.stderr) == (1, f"task_ended: task '{done.id}' is done already\n")


def test_a_task_is_added_for_a_worker_to_run(tmp_path: Path, tasks: Waystation) -> None:
    added = json.loads(tasks("run", "work", '{"item": "a"}', "--key", "k", "--json").stdout)
    assert (added["status"], added["owner"], added["key"]) == ("queued", "system", "k")
    again = json.loads(tasks("run", "work", '{"item": "a"}', "--key", "k", "--json").stdout)
    assert again["id"] == added["id"]
    waited = tasks("run", "work", '{"item": "a"}', "--wait", "0.1")
    assert (waited.exit_code, "queued" in waited.stdout) == (1, True)


def test_waiting_for_the_end_tells_whether_it_went_well(tmp_path: Path) -> None:
    work = Work(attempts=1)
    work.plan("bad", OSError())
    app = make_tasks_app(lambda: opened_queue(tmp_path, [work.task]))
    good = CliRunner().invoke(app, ["run", "work", '{"item": "good"}', "--wait", "20", "--json"])
    assert (good.exit_code, json.loads(good.stdout)["status"]) == (0, TaskStatus.DONE)
    bad = CliRunner().invoke(app, ["run", "work", '{"item": "bad"}', "--wait", "20"])
    assert bad.exit_code == 1
    assert "OSError" in bad.stdout


def test_progress_is_shown(tmp_path: Path, tasks: Waystation) -> None:
    async def half(arguments: Item, context: TaskContext) -> None:
        await context.progress(1, 2, arguments.item)

    async def working() -> None:
        async with opened_queue(tmp_path, [Task("work", Item, half)]) as queue:
            record = await queue.add("work", {"item": "pages"}, owner=BOB)
            await queue.wait(record.id, PATIENCE_S)

    asyncio.run(working())
    assert "1/2 pages" in tasks("list").stdout


@pytest.mark.parametrize(
    ("text", "says"), [("{", "are not JSON"), ("[]", "not a JSON object"), ("{}", "item")]
)
def test_wrong_arguments_are_refused_with_a_reason(tasks: Waystation, text: str, says: str) -> None:
    refused = tasks("run", "work", text)
    assert refused.exit_code == 1
    assert says in refused.stderr


def test_a_running_task_is_cancelled_by_its_worker(tmp_path: Path) -> None:
    work = Work()
    work.hold("a")

    async def cancelling() -> tuple[str, TaskStatus]:
        async with opened_queue(tmp_path, [work.task]) as queue:
            record = await queue.add("work", {"item": "a"}, owner=BOB)
            await work.begun("a")
            app = make_tasks_app(lambda: opened_queue(tmp_path, [work.task], worker=False))
            said = await asyncio.to_thread(CliRunner().invoke, app, ["cancel", record.id])
            return said.stdout, (await queue.wait(record.id, PATIENCE_S)).status

    assert asyncio.run(cancelling()) == ("its worker stops it within seconds\n", TaskStatus.CANCELLED)
