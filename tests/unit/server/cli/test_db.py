"""`waystation db copy`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

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
