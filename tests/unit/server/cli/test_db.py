"""`waystation db copy`."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graph.moving import rows
from server.cli.db import db
from tests.unit.graph.moving.kit import change, make_source, spelled


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return spelled(make_source(tmp_path_factory.mktemp("source")))


def test_a_copy_is_told_table_by_table(source: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(db, ["copy", source, f"sqlite:///{tmp_path / 'a.db'}"])
    assert done.exit_code == 0, done.output
    assert "rows copied, and compared with the source: the same" in done.stdout
    assert "transcript" in done.stdout
    told = CliRunner().invoke(db, ["copy", source, f"sqlite:///{tmp_path / 'b.db'}", "--json"])
    found = json.loads(told.stdout)
    assert found["rows"] == sum(table["rows"] for table in found["tables"].values()) > 0


def test_a_refusal_is_one_line_and_exit_code_1(source: str) -> None:
    done = CliRunner().invoke(db, ["copy", source, source])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "invalid_input: source and target are the same database\n"


def test_who_is_waited_for_is_said(tmp_path: Path) -> None:
    url = make_source(tmp_path)
    change(url, "UPDATE runs SET status = 'running' WHERE thread_id = 't1'")
    target = f"sqlite:///{tmp_path / 'a.db'}"
    with pytest.MonkeyPatch.context() as patch:
        say = "server.cli.db._say_waiting"

        def waiting(threads: list[str]) -> None:
            said(threads)
            change(url, "UPDATE runs SET status = 'done' WHERE thread_id = 't1'")

        from server.cli.db import _say_waiting as said

        patch.setattr(say, waiting)
        done = CliRunner().invoke(db, ["copy", spelled(url), target, "--wait"])
    assert done.exit_code == 0, done.output
    assert "waiting for 1 threads in flight: t1" in done.stderr


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """What a person types, once; a process that runs tests may be deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    left = [signal.SIGINT]
    yield lambda: os.kill(os.getpid(), left.pop()) if left else None
    signal.signal(signal.SIGINT, before)


def test_whoever_ends_it_reads_how_far_it_came_and_it_goes_on(
    source: str, tmp_path: Path, ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
        yield lambda done, total, name: ctrl_c() if done > total / 4 else None

    words = ["copy", source, f"sqlite:///{tmp_path / 'a.db'}"]
    with monkeypatch.context() as patch:
        patch.setattr(rows, "BATCH_ROWS", 5)
        patch.setattr("server.cli.db.progress_bar", bar)
        ended = CliRunner().invoke(db, words)
    assert (ended.exit_code, ended.stdout) == (130, "")
    assert re.fullmatch(
        r"stopped: at \d+ % \(\w+\); what was copied stays, and the same command goes on there\n",
        ended.stderr,
    )
    done = CliRunner().invoke(db, [*words, "--json"])
    assert json.loads(done.stdout)["resumed"] is True


def test_whoever_ends_it_while_it_waits_reads_that_nothing_was_copied(
    tmp_path: Path, ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_source(tmp_path)
    change(url, "UPDATE runs SET status = 'running' WHERE thread_id = 't1'")
    monkeypatch.setattr("server.cli.db._say_waiting", lambda threads: ctrl_c())
    ended = CliRunner().invoke(db, ["copy", spelled(url), f"sqlite:///{tmp_path / 'a.db'}", "--wait"])
    assert ended.exit_code == 130
    assert ended.stderr == "stopped: nothing was copied yet; the same command begins with it\n"
    assert not (tmp_path / "a.db").exists()
