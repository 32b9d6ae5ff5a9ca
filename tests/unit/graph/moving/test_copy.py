"""`graph.moving`: a database copied into another of either kind."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from core.errors import ConfigInvalid, InvalidInput, StorageUnavailable, Unavailable
from graph.db.database import HEAD, opened_database
from graph.moving import rows
from graph.moving.copying import Copy, CopyResult, Stopped, ends, open_end
from graph.moving.database import copy_database, given_url, make_ready, name_of
from graph.moving.errors import CopyRefused
from nodes.llm.fake import ScriptedModel
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.unit.graph.moving.kit import ADA, TURNS, change, make_source, rows_of, spelled, url_of
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of a service that nobody changes."""
    folder = tmp_path_factory.mktemp("origin")
    make_source(folder)
    return folder


@pytest.fixture
def source(origin: Path) -> URL:
    return url_of(f"sqlite:///{origin / 'home' / 'waystation.db'}")


@pytest.fixture
def mine(source: URL, tmp_path: Path) -> URL:
    """The same in a file that the test may change."""
    path = tmp_path / "mine.db"
    with closing(sqlite3.connect(str(source.database))) as one, closing(sqlite3.connect(path)) as other:
        one.backup(other)
    return url_of(f"sqlite:///{path}")


@pytest.fixture
def target(tmp_path: Path) -> URL:
    return url_of(f"sqlite:///{tmp_path / 'target.db'}")


@pytest.fixture(params=KINDS)
def any_target(request: pytest.FixtureRequest, target: URL) -> URL:
    return target if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def copied(source: URL, target: URL, **options: Any) -> CopyResult:
    return asyncio.run(copy_database(source, target, **options))


async def seen(folder: Path, url: URL) -> dict[str, Any]:
    """What a person sees of all threads of a service on the database."""
    async with open_agent(folder, storage={"url": spelled(url)}) as agent:
        found = {}
        for thread in await agent.threads.list(ADA):
            at = thread["id"]
            found[at] = {
                "thread": thread,
                "transcript": await agent.threads.transcript(ADA, at),
                "state": await agent.threads.state(ADA, at),
                "history": await agent.threads.history(ADA, at, limit=100),
            }
        return found


def test_everything_comes_over_and_is_compared(source: URL, any_target: URL) -> None:
    found = copied(source, any_target)
    assert rows_of(any_target) == rows_of(source)
    assert not found.resumed
    assert all(tally.rows for tally in found.tallies.values()), "the source has something in every table"


def test_it_comes_back_as_it_was(source: URL, postgres_url: URL, target: URL) -> None:
    copied(source, postgres_url)
    copied(postgres_url, target)
    assert rows_of(target) == rows_of(source)


def test_what_a_service_wrote_on_postgresql_can_be_read_on_sqlite(
    tmp_path: Path, postgres_url: URL, target: URL
) -> None:
    make_source(tmp_path, postgres_url)
    copied(postgres_url, target)
    before = asyncio.run(seen(tmp_path, postgres_url))
    assert asyncio.run(seen(tmp_path, target)) == before
    assert len(before) == 2


@pytest.mark.slow
def test_threads_are_the_same_and_go_on(mine: URL, any_target: URL, tmp_path: Path) -> None:
    copied(mine, any_target)
    before = asyncio.run(seen(tmp_path, mine))
    assert asyncio.run(seen(tmp_path, any_target)) == before
    assert len(before["t1"]["transcript"]["messages"]) == 2 * TURNS

    async def go_on() -> list[Any]:
        fakes = Fakes(model=ScriptedModel("One more."))
        async with open_agent(tmp_path, providers=[fakes], storage={"url": spelled(any_target)}) as agent:
            reply = await agent.ask("And now?", thread="t1", user="ada")
            assert reply["answer"] == "One more."
            state = await agent.threads.state(ADA, "t1")
        found: list[Any] = state["messages"]
        return found

    said = asyncio.run(go_on())
    assert said[: 2 * TURNS] == before["t1"]["state"]["messages"]
    assert len(said) == 2 * TURNS + 2


def test_a_copy_that_was_ended_anywhere_goes_on(
    source: URL, target: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BATCH_ROWS", 10)
    asyncio.run(make_ready(target))
    tries = 0
    while True:
        tries += 1
        try:
            with ends(source, target) as (one, other):
                found = Copy(one, other, stopping=ending_after(3 * tries)).run(name_of(source))
        except Stopped:
            with pytest.raises(ConfigInvalid, match="has not ended"):
                asyncio.run(_opened(target))
        else:
            break
    assert tries > 3
    assert found.resumed
    assert rows_of(target) == rows_of(source)
    asyncio.run(_opened(target))


def ending_after(portions: int) -> Callable[[], bool]:
    left = iter(range(portions))
    return lambda: next(left, None) is None


async def _opened(url: URL) -> None:
    async with opened_database(url):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_copy_goes_on(source: URL, target: URL, kind: str, request: pytest.FixtureRequest) -> None:
    url = target if kind == "sqlite" else request.getfixturevalue("postgres_url")
    script = (
        "import asyncio, os, signal, sys\n"
        "from graph.moving import rows\n"
        "from graph.moving.database import copy_database\n"
        "from sqlalchemy.engine import make_url\n"
        "rows.BATCH_ROWS = 7\n"
        "told = lambda done, total, name: done > total / 4 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(copy_database(*map(make_url, sys.argv[1:]), told=told))\n"
    )
    urls = [one.render_as_string(hide_password=False) for one in (source, url)]
    ended = subprocess.run([sys.executable, "-c", script, *urls], timeout=6 * A_BUSY_MACHINE_S, check=False)
    assert ended.returncode == -signal.SIGKILL
    with closing(open_end(url, "target")) as end:
        stages = end.journal()[1]
    assert any(stage.done for stage in stages.values())
    found = copied(source, url)
    assert found.resumed
    assert rows_of(url) == rows_of(source)


def stopped_copy(source: URL, target: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that has got through some tables."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 5)
    asyncio.run(make_ready(target))
    reached: list[str] = []

    def told(done: int, total: int, name: str) -> None:
        reached.append(name)

    with pytest.raises(Stopped), ends(source, target) as (one, other):
        Copy(one, other, told=told, stopping=lambda: "transcript" in reached).run(name_of(source))
    monkeypatch.undo()


def test_a_source_that_changed_since_the_copy_began_is_told_and_begun_anew(
    mine: URL, target: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_copy(mine, target, monkeypatch)
    change(mine, "UPDATE items SET value = 'another'")
    with pytest.raises(CopyRefused, match=r"changed since the copy began \(in items\).*--again"):
        copied(mine, target)
    assert not copied(mine, target, again=True).resumed
    assert rows_of(target) == rows_of(mine)


def test_rows_that_vanished_or_came_since_are_told_too(
    mine: URL, target: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_copy(mine, target, monkeypatch)
    change(mine, "UPDATE api_keys SET id = 'zzz'")
    with pytest.raises(CopyRefused, match="api_keys"):
        copied(mine, target)
    change(mine, "DELETE FROM api_keys")
    with pytest.raises(CopyRefused, match="api_keys"):
        copied(mine, target)


def test_another_source_does_not_go_on_with_a_copy(
    source: URL, mine: URL, target: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_copy(mine, target, monkeypatch)
    with pytest.raises(CopyRefused, match="another source"):
        copied(source, target)


def test_a_copy_that_goes_on_is_no_source(source: URL, target: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_copy(source, target, monkeypatch)
    with pytest.raises(CopyRefused, match="itself a copy"):
        copied(target, url_of(f"{target.database}.2".join(("sqlite:///", ""))))


def test_a_source_that_is_used_meanwhile_is_told(mine: URL, target: URL) -> None:
    used: list[int] = []

    def use(done: int, total: int, name: str) -> None:
        if not used:
            change(mine, "UPDATE threads SET updated_at = 9e9 WHERE id = 't1'")
            used.append(done)

    with pytest.raises(CopyRefused, match=r"used while it was copied \(threads: t1\)"):
        copied(mine, target, told=use)
    copied(mine, target, again=True)
    assert rows_of(target) == rows_of(mine)


def test_what_somebody_else_writes_to_the_target_is_found(
    source: URL, target: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BATCH_ROWS", 2)

    portions: list[str] = []

    def meddle(done: int, total: int, name: str) -> None:
        portions.append(name)
        # Then the first portion is there.
        if portions.count("transcript") == 3:
            change(target, "UPDATE transcript SET text = 'another'")

    with pytest.raises(CopyRefused, match="differs from the source in transcript"):
        copied(source, target, told=meddle)


def test_what_is_gone_from_the_target_behind_its_comparing_is_found(source: URL, target: URL) -> None:
    def meddle(done: int, total: int, name: str) -> None:
        if name == "comparing workers":
            change(target, "DELETE FROM items")

    with pytest.raises(CopyRefused, match="differs from the source in items"):
        copied(source, target, told=meddle)


def test_a_target_with_rows_is_left_alone(source: URL, mine: URL) -> None:
    before = rows_of(mine)
    with pytest.raises(CopyRefused, match=r"not empty: it has rows in .*transcript"):
        copied(source, mine)
    assert rows_of(mine) == before


@pytest.mark.parametrize(
    ("revision", "words"),
    [("0003", "older release .*migrate it first"), ("9999", "newer release"), ("copying", "itself a copy")],
)
def test_a_source_of_another_release_is_told_what_to_do(
    mine: URL, target: URL, revision: str, words: str
) -> None:
    change(mine, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608
    with pytest.raises(CopyRefused, match=words):
        copied(mine, target)
    assert not Path(str(target.database)).exists(), "nothing was made"


def test_a_target_of_another_release_is_left_as_it_is(source: URL, mine: URL) -> None:
    change(mine, "UPDATE alembic_version SET version_num = '0004'")
    with pytest.raises(CopyRefused, match="another release"):
        copied(source, mine)


def test_one_database_twice_is_refused(source: URL, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(str(source.database))
    for other in (source, url_of(f"sqlite:///{link}")):
        with pytest.raises(InvalidInput, match="same database"):
            copied(source, other)


def test_files_that_are_no_databases_of_ours_are_told(tmp_path: Path, target: URL) -> None:
    with pytest.raises(Unavailable, match=r"source 'no\.db' is not there"):
        copied(url_of(f"sqlite:///{tmp_path / 'no.db'}"), target)
    with pytest.raises(InvalidInput, match="is a folder; name the database's file"):
        copied(url_of(f"sqlite:///{tmp_path}"), target)
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(StorageUnavailable, match="no SQLite database"):
        copied(url_of(f"sqlite:///{tmp_path / 'text.db'}"), target)
    sqlite3.connect(tmp_path / "other.db").close()
    with pytest.raises(CopyRefused, match="holds no database of Waystation"):
        copied(url_of(f"sqlite:///{tmp_path / 'other.db'}"), target)
    assert not Path(str(target.database)).exists()


@pytest.mark.parametrize("text", ["", "mysql://x/y", "no url", "sqlite://"])
def test_other_urls_are_refused_by_the_name_of_the_argument(text: str, tmp_path: Path) -> None:
    from core.settings import Places

    with pytest.raises(ConfigInvalid, match="the source"):
        given_url(text, "source", Places(tmp_path, tmp_path))


def test_a_target_that_cannot_be_made_is_told_by_its_argument(source: URL, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageUnavailable, match=r"'x\.db' cannot be made.*; mend that.*the target's URL"):
        copied(source, url_of(f"sqlite:///{tmp_path / 'file' / 'deep' / 'x.db'}"))


def test_a_server_that_is_not_there_is_told(source: URL) -> None:
    nobody = url_of("postgresql://somebody@127.0.0.1:1/nothing")
    with pytest.raises(StorageUnavailable, match="refuses connections; start it, or mend host"):
        copied(source, nobody)


def test_a_cut_connection_is_told_and_the_copy_goes_on(source: URL, postgres_url: URL) -> None:
    import psycopg

    cut: list[str] = []

    def cutting(done: int, total: int, name: str) -> None:
        if name == "transcript" and not cut:
            cut.append(name)
            plain = spelled(postgres_url.set(database="postgres"))
            with psycopg.connect(plain, autocommit=True) as db:
                db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [postgres_url.database],
                )

    with pytest.raises(StorageUnavailable, match="the same command goes on where it was"):
        copied(source, postgres_url, told=cutting)
    assert copied(source, postgres_url).resumed
    assert rows_of(postgres_url) == rows_of(source)


def test_a_full_disk_is_told_and_the_copy_goes_on(
    source: URL, target: URL, small_disk: Callable[[], None]
) -> None:
    import resource

    asyncio.run(make_ready(target))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    small_disk()
    with pytest.raises(StorageUnavailable, match="the same command goes on where it was"):
        copied(source, target)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    copied(source, target)
    assert rows_of(target) == rows_of(source)


def test_the_revision_of_a_whole_copy_is_the_newest(source: URL, target: URL) -> None:
    copied(source, target)
    with closing(open_end(target, "target")) as end:
        assert end.revision() == HEAD
        assert "waystation_copy" not in end.tables()
    shutil.copyfile(str(target.database), f"{target.database}.2")
    copied(url_of(f"sqlite:///{target.database}.2"), url_of(f"sqlite:///{target.database}.3"))
