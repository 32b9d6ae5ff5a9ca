"""Workers that die in mid-task, and a Redis that does: all is done in the end, and never twice at a time."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.task_queue import TaskSettings, TaskStatus
from tests.kit.task_queues import ADA, PATIENCE_S, eventually, opened_queue, sqlite
from tests.kit.task_worker import note_task
from waystation.testing.redis import RedisServer

ROOT = Path(__file__).parents[2]
AGAIN_WITHIN_S = 30.0
START_S = 60.0


class Workers:
    """Worker processes on one database; the test opens it first."""

    def __init__(self, folder: Path, queue: str) -> None:
        self.settings = {"url": queue, "poll_s": 1.0, "grace_s": 0.5}
        self.notes = folder / "notes"
        self.notes.touch()
        self._database = sqlite(folder)
        self._logs: list[Path] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> int:
        """Returns when it is ready."""
        log = self.notes.with_name(f"log{len(self._logs)}")
        self._logs.append(log)
        arguments = (self._database, str(self.notes), json.dumps(self.settings))
        command = [sys.executable, "-m", "tests.kit.task_worker", *arguments]
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, stderr=file, stdout=file)
        self._processes[process.pid] = process
        deadline = time.monotonic() + START_S
        while "worker_ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the worker did not start in time"
            time.sleep(0.02)
        return process.pid

    def end(self, pid: int, sign: signal.Signals) -> int:
        process = self._processes.pop(pid)
        process.send_signal(sign)
        return process.wait(timeout=PATIENCE_S)

    def signal(self, pid: int, sign: signal.Signals) -> None:
        self._processes[pid].send_signal(sign)

    def end_all(self) -> None:
        for pid in list(self._processes):
            self.end(pid, signal.SIGKILL)

    def let_go(self) -> None:
        (self.notes.parent / "go").touch()

    def lines(self) -> list[list[str]]:
        """[begin or end, item, pid, attempt] each."""
        return [line.split() for line in self.notes.read_text().splitlines()]

    async def begun(self, attempt: int, *, within: float = PATIENCE_S) -> int:
        """The process that began this attempt."""

        async def seen() -> bool:
            return any(line[0] == "begin" and line[3] == str(attempt) for line in self.lines())

        await eventually(seen, within)
        return next(int(line[2]) for line in self.lines() if line[0] == "begin" and line[3] == str(attempt))


def _item(line: list[str]) -> str:
    return line[1]


@pytest.fixture
def shared(tmp_path: Path, redis_server: RedisServer) -> Iterator[Workers]:
    """Workers that share a Redis."""
    workers = Workers(tmp_path, redis_server.url)
    yield workers
    workers.end_all()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Workers]:
    """A worker with the queue in its own process."""
    workers = Workers(tmp_path, "memory://")
    yield workers
    workers.end_all()


@pytest.mark.always
async def test_what_a_killed_worker_had_begun_another_one_does_within_30_s(
    tmp_path: Path, shared: Workers, redis_server: RedisServer
) -> None:
    settings = TaskSettings(url=redis_server.url)
    async with opened_queue(tmp_path, [note_task()], settings=settings, worker=False) as queue:
        one, two = await asyncio.gather(*(asyncio.to_thread(shared.start) for _ in range(2)))
        record = await queue.add("note", {"item": "a"}, owner=ADA)
        killed = await shared.begun(1)
        assert (await queue.get(record.id)).status is TaskStatus.RUNNING
        shared.end(killed, signal.SIGKILL)
        began = time.monotonic()
        assert await shared.begun(2, within=AGAIN_WITHIN_S) == ({one, two} - {killed}).pop()
        assert time.monotonic() - began < AGAIN_WITHIN_S
        shared.let_go()
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts) == (TaskStatus.DONE, 2)
    assert [(line[0], line[3]) for line in shared.lines()] == [("begin", "1"), ("begin", "2"), ("end", "2")]


async def test_a_hanging_worker_of_another_machine_would_be_replaced_by_its_lease(
    tmp_path: Path, shared: Workers, redis_server: RedisServer
) -> None:
    """SIGSTOP: the process is there and gives no sign of life; when it goes on, it has lost the task."""
    shared.settings["lease_s"] = 3.0
    settings = TaskSettings(url=redis_server.url)
    async with opened_queue(tmp_path, [note_task()], settings=settings, worker=False) as queue:
        await asyncio.gather(*(asyncio.to_thread(shared.start) for _ in range(2)))
        record = await queue.add("note", {"item": "a"}, owner=ADA)
        hanging = await shared.begun(1)
        shared.signal(hanging, signal.SIGSTOP)
        assert await shared.begun(2, within=AGAIN_WITHIN_S) != hanging
        shared.signal(hanging, signal.SIGCONT)
        shared.let_go()
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts) == (TaskStatus.DONE, 2)


async def test_an_embedded_worker_that_was_killed_does_it_again_after_its_start(
    tmp_path: Path, alone: Workers
) -> None:
    async with opened_queue(tmp_path, [note_task()], worker=False) as queue:
        record = await queue.add("note", {"item": "a"}, owner=ADA)
        first = alone.start()
        assert await alone.begun(1) == first
        alone.end(first, signal.SIGKILL)
        alone.let_go()
        second = alone.start()
        done = await queue.wait(record.id, PATIENCE_S)
    assert (done.status, done.attempts) == (TaskStatus.DONE, 2)
    assert [line[2] for line in alone.lines()] == [str(first), str(second), str(second)]


async def test_a_worker_that_is_told_to_stop_gives_its_task_back(tmp_path: Path, alone: Workers) -> None:
    async with opened_queue(tmp_path, [note_task()], worker=False) as queue:
        record = await queue.add("note", {"item": "a"}, owner=ADA)
        worker = alone.start()
        await alone.begun(1)
        assert alone.end(worker, signal.SIGTERM) == 0
        assert (await queue.get(record.id)).status is TaskStatus.QUEUED
        alone.let_go()
        alone.start()
        assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE


async def test_many_tasks_and_workers_that_come_and_go_each_task_is_done_once_at_a_time(
    tmp_path: Path, shared: Workers, redis_server: RedisServer
) -> None:
    settings = TaskSettings(url=redis_server.url)
    async with opened_queue(tmp_path, [note_task()], settings=settings, worker=False) as queue:
        records = [await queue.add("note", {"item": str(n)}, owner=ADA) for n in range(20)]
        one = await asyncio.to_thread(shared.start)
        await shared.begun(1)
        await asyncio.to_thread(shared.start)
        shared.end(one, signal.SIGKILL)
        shared.let_go()
        for record in records:
            assert (await queue.wait(record.id, PATIENCE_S)).status is TaskStatus.DONE
    for _, lines in itertools.groupby(sorted(shared.lines(), key=_item), key=_item):
        of_one = list(lines)
        assert [line[0] for line in of_one].count("end") == 1
        assert of_one[-1][0] == "end"
