"""`graph.moving.comparing`: the target of a large copy is read again in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from core.errors import StorageUnavailable, Unavailable
from graph.moving import comparing, rows
from graph.moving.comparing import LocalReader, ProcessReader
from graph.moving.copying import CopyResult, open_end
from graph.moving.database import copy_database
from graph.moving.end import End
from graph.moving.errors import CopyRefused
from graph.moving.rows import Part, Tally, parts
from graph.moving.sqlite import SqliteEnd
from tests.unit.graph.moving.kit import make_source, rows_of
from waystation.testing.postgres import PostgresServer

TRANSCRIPT = next(part for part in parts() if part.name == "transcript")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> URL:
    return make_source(tmp_path_factory.mktemp("origin"))


@pytest.fixture(autouse=True)
def _every_copy_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "APART_ROWS", 0)
    monkeypatch.setattr(rows, "BATCH_ROWS", 10)


def copied(source: URL, target: URL, told: object = None) -> CopyResult:
    options = {"told": told} if told else {}
    return asyncio.run(copy_database(source, target, **options))  # type: ignore[arg-type]


def test_a_large_copy_is_compared_by_a_process_of_its_own(source: URL, postgres_url: URL) -> None:
    seen: set[str] = set()

    def look(done: int, total: int, name: str) -> None:
        seen.update(child.name for child in multiprocessing.active_children())
        assert done <= total

    found = copied(source, postgres_url, look)
    assert found.resumed is False
    assert seen
    assert multiprocessing.active_children() == []
    assert rows_of(postgres_url) == rows_of(source)


def test_what_somebody_else_wrote_is_found_there(source: URL, postgres_url: URL) -> None:
    changed: list[int] = []

    def meddle(done: int, total: int, name: str) -> None:
        # What is compared meanwhile is told under the same name, so a count of portions says nothing. The
        # first rows are there before the second portion is told: nothing of them was compared then.
        if name == "writes" and not any(changed):
            changed.append(_meddled(postgres_url))

    with pytest.raises(CopyRefused, match="differs from the source in writes"):
        copied(source, postgres_url, meddle)
    assert multiprocessing.active_children() == []


def _meddled(url: URL) -> int:
    """How many rows of somebody else's there are then."""
    with closing(open_end(url, "target", writing=True)) as end:
        end.run("UPDATE checkpoint_writes SET channel = 'another'")
        return int(end.select("SELECT count(*) FROM checkpoint_writes WHERE channel = 'another'")[0][0])


def _run(url: URL, statement: str) -> None:
    with closing(open_end(url, "target", writing=True)) as end:
        end.run(statement)


def test_a_value_beside_a_checkpoint_that_was_changed_is_found(source: URL, postgres_url: URL) -> None:
    copied(source, postgres_url)
    before = rows_of(postgres_url)
    for change in (
        "UPDATE checkpoint_blobs SET blob = '\\x93010203' WHERE type = 'msgpack'",
        "DELETE FROM checkpoint_blobs WHERE type = 'msgpack'",
        "UPDATE checkpoints SET metadata = '{}'",
        "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{ts}', '\"never\"')",
    ):
        _run(postgres_url, change)
        now = rows_of(postgres_url)
        assert now["checkpoints"] != before["checkpoints"], change
        before = now


def test_a_process_that_is_killed_is_told_and_the_copy_goes_on(source: URL, postgres_url: URL) -> None:
    def kill(done: int, total: int, name: str) -> None:
        for child in multiprocessing.active_children():
            child.kill()
            child.join()

    with pytest.raises(Unavailable, match="want of memory perhaps; the same command goes on"):
        copied(source, postgres_url, kill)
    assert copied(source, postgres_url).resumed
    assert rows_of(postgres_url) == rows_of(source)


def test_a_server_that_goes_away_from_it_is_told(
    source: URL, postgres_url: URL, postgres_server: PostgresServer
) -> None:
    def cut(done: int, total: int, name: str) -> None:
        if name == "threads":
            postgres_server.cut_connections(postgres_url)

    with pytest.raises(StorageUnavailable, match="the same command goes on where it was"):
        copied(source, postgres_url, cut)


def test_one_that_cannot_open_its_database_says_why(tmp_path: Path) -> None:
    with (
        closing(ProcessReader(partial(SqliteEnd, tmp_path / "not-there.db"))) as apart,
        pytest.raises(Exception, match="unable to open database file"),
    ):
        list(apart.portions(TRANSCRIPT))


@pytest.fixture
def pipe() -> tuple[Connection, Connection]:
    return multiprocessing.Pipe()


def _says_whether_it_hears() -> End:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    raise Unavailable("Ctrl-C is held back" if signal.SIGINT in held else "it hears Ctrl-C")


def test_that_process_never_hears_ctrl_c_and_this_one_does() -> None:
    with (
        closing(ProcessReader(_says_whether_it_hears)) as apart,
        pytest.raises(Unavailable, match="held back"),
    ):
        next(apart.portions(TRANSCRIPT))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_it_does_is_what_is_done_here_and_ends_with_its_listener(
    source: URL, pipe: tuple[Connection, Connection]
) -> None:
    ours, theirs = pipe
    opened = partial(SqliteEnd, Path(str(source.database)))
    heard: list[Tally | None] = []

    def ask(part: Part) -> None:
        ours.send(part)
        while (said := ours.recv()) is not None:
            heard.append(said)
        ours.close()

    asking = threading.Thread(target=ask, args=[TRANSCRIPT])
    asking.start()
    comparing._read(theirs, opened)
    asking.join()
    with closing(LocalReader(opened())) as here:
        assert heard == list(here.portions(TRANSCRIPT))
    assert sum(tally.rows for tally in heard if tally) > 0


def test_a_part_that_is_not_there_is_told_by_it(source: URL, pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    ours.send(Part("missing", ("id",), ("id",)))
    comparing._read(theirs, partial(SqliteEnd, Path(str(source.database))))
    assert "no such table: missing" in str(ours.recv())


def test_a_copy_that_is_to_end_does_not_wait_for_a_process_that_is_frozen(
    source: URL, postgres_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "_LOOK_S", 0.01)
    freezing = threading.Event()

    async def interrupted() -> None:
        copying = asyncio.create_task(copy_database(source, postgres_url, told=freeze))
        await asyncio.to_thread(freezing.wait, 30)
        copying.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait([copying])
        assert copying.cancelled()

    def freeze(done: int, total: int, name: str) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGSTOP)
        freezing.set()

    asyncio.run(interrupted())
    assert multiprocessing.active_children() == []
    assert copied(source, postgres_url).resumed
