"""A database that is used is copied neither by half nor unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL

from core import sockets
from graph.moving.copying import CopyResult, Stopped
from graph.moving.database import copy_database, in_thread
from graph.moving.errors import CopyRefused
from tests.unit.graph.moving.kit import change, make_source, spelled, url_of


@pytest.fixture
def mine(tmp_path: Path) -> URL:
    """A database that the test may change."""
    return make_source(tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> URL:
    return url_of(f"sqlite:///{tmp_path / 'target.db'}")


def copied(source: URL, target: URL, **options: Any) -> CopyResult:
    return asyncio.run(copy_database(source, target, **options))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET status = 'running' WHERE thread_id = 't1'",
        "UPDATE runs SET status = 'queued' WHERE thread_id = 't1'",
        "UPDATE threads SET run_id = 'r_1' WHERE id = 't1'",
    ],
)
def test_threads_in_flight_are_refused_by_their_ids(mine: URL, target: URL, statement: str) -> None:
    change(mine, "UPDATE threads SET run_id = NULL", "UPDATE runs SET status = 'done'")
    change(mine, statement)
    with pytest.raises(CopyRefused, match=r"in flight: t1\. Wait for them with --wait"):
        copied(mine, target)


def test_threads_in_flight_are_waited_for(mine: URL, target: URL) -> None:
    change(mine, "UPDATE runs SET status = 'running' WHERE thread_id = 't1'")
    waited: list[list[str]] = []

    def waiting(threads: list[str]) -> None:
        waited.append(threads)
        change(mine, "UPDATE runs SET status = 'done' WHERE thread_id = 't1'")

    copied(mine, target, wait=True, waiting=waiting)
    assert waited == [["t1"]]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_service_that_has_nothing_to_do_is_seen_and_waited_for(
    mine: URL, target: URL, kind: str, request: pytest.FixtureRequest
) -> None:
    with ExitStack() as service:
        begin_to_serve, stop = serving(mine, service)
        if kind == "postgresql":
            used = request.getfixturevalue("postgres_url")
            copied(mine, used)
            mine, (begin_to_serve, stop) = used, seen_on(used)
        begin_to_serve()
        with pytest.raises(CopyRefused, match=r"a service runs on the source.*--running"):
            copied(mine, target)
        waited: list[list[str]] = []

        def waiting(threads: list[str]) -> None:
            waited.append(threads)
            stop()

        assert copied(mine, target, wait=True, waiting=waiting).tallies
        assert waited == [[]]
        begin_to_serve()
        again = url_of(f"sqlite:///{target.database}.2")
        assert copied(mine, again, running=True).tallies


def serving(url: URL, stack: ExitStack) -> tuple[Callable[[], object], Callable[[], object]]:
    """A service on the home of the file, as far as its lock says."""
    held = stack.enter_context(ExitStack())
    lock = Path(str(url.database)).parent / "state" / "service.lock"
    return lambda: held.enter_context(sockets.alone(lock)), held.close


def seen_on(url: URL) -> tuple[Callable[[], object], Callable[[], object]]:
    """A process that says that it executes runs there."""

    def run(statement: str) -> None:
        with psycopg.connect(spelled(url), autocommit=True) as db:
            db.execute(statement)

    row = "INSERT INTO workers VALUES ('me', '[]', 1, 0, '1', 0, date_part('epoch', clock_timestamp()))"
    return lambda: run(row), lambda: run("DELETE FROM workers")


@pytest.mark.parametrize("done", [True, False])
async def test_work_that_is_done_when_it_hears_that_it_is_to_end_is_told_as_done(done: bool) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(stopping: Callable[[], bool]) -> str:
        loop.call_soon_threadsafe(begun.set)
        while not stopping():
            pass
        if not done:
            raise Stopped
        return "whole"

    task = asyncio.create_task(in_thread(work))
    await begun.wait()
    task.cancel()
    if done:
        assert await task == "whole"
    else:
        with pytest.raises(asyncio.CancelledError):
            await task
