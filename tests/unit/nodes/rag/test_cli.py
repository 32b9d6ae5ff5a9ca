from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nodes.rag.cli import app
from nodes.rag.errors import IndexBroken
from tests.unit.nodes.rag.corpus import HANDBOOK, write

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "config"
    write(folder / "docs")
    (folder / "sources.yaml").write_text(
        "docs: {type: local, path: docs, description: The handbook}\n"
        "closed: {type: local, path: docs, groups: [staff]}\n"
        'remote: {type: http, url: "http://127.0.0.1:9"}\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(folder))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_sources_are_those_of_the_user() -> None:
    found = json.loads(run("discover-sources", "ada", "--json").stdout)
    assert [(s["name"], bool(s["problem"])) for s in found] == [("docs", False), ("remote", True)]
    shown = run("discover-sources", "eve", "--group", "staff").stdout
    assert "closed" in shown
    assert "The handbook" in shown


def test_a_query_indexes_what_is_new_and_shows_passages() -> None:
    found = json.loads(run("query", "ada", "docs", "Where are backups kept?", "--json").stdout)
    assert found[0]["document"] == "faq.txt"
    assert found[0]["n"] == 1
    shown = run("query", "ada", "docs", "Where are backups kept?", "--limit", "1").stdout
    assert "[1] faq.txt (faq.txt, score" in shown
    nothing = run("query", "ada", "docs", "What is 5 + 3?")
    assert "(nothing found)" in nothing.stdout
    assert "'docs' shows nothing: there is no word in it to look for" in nothing.stderr


def test_ingest_adds_a_path_and_stats_count_it(tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    write(extra, {"a.txt": "Kites fly."})
    (extra / "b.txt").write_bytes(b"\0")
    (extra / "c.png").write_bytes(b"\0")
    result = run("ingest", "docs", str(extra))
    assert f"docs: {len(HANDBOOK) + 1} documents" in result.stdout
    assert "skipped b.txt: it is a binary file" in result.stdout
    assert "passed over 1 files of other kinds" in result.stdout
    again = json.loads(run("ingest", "docs", "--json").stdout)
    assert (again["files"], again["changed"]) == (len(HANDBOOK) + 1, 0)
    stats = {s["source"]: s for s in json.loads(run("stats", "--json").stdout)}
    assert stats["docs"]["files"] == len(HANDBOOK) + 1
    assert "docs" in run("stats").stdout


def test_a_path_that_cannot_be_indexed_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = tmp_path / "extra"
    write(extra, {"a.txt": "Kites fly."})

    def missing() -> None:
        raise IndexBroken("a local source needs the extra 'search'")

    with monkeypatch.context() as without:
        without.setattr("nodes.rag.adapters.lance._sdk", missing)
        refused = run("ingest", "docs", str(extra))
    assert (refused.exit_code, refused.stderr) == (
        1,
        "index_broken: a local source needs the extra 'search'\n",
    )
    assert json.loads(run("ingest", "docs", "--json").stdout)["files"] == len(HANDBOOK)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "config" / "docs").rename(tmp_path / "moved")
    assert "problem: 'docs' is not there" in run("ingest", "docs").stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("query", "ada", "docz", "x"), "source_not_found: no source 'docz'; did you mean 'docs'?"),
        (("query", "ada", "closed", "x"), "source_not_found: no source 'closed'"),
        (
            ("query", "ada", "remote", "x"),
            "source_unavailable: source 'remote' failed: the connection failed",
        ),
        (("ingest", "remote"), "not_ingestable: 'remote' is searched where it is"),
        (("ingest", "docs", "/no/such/file.txt"), "not_ingestable: there is no file or folder 'file.txt'"),
        (("ingest", "nope"), "source_not_found: no source 'nope'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(arguments: tuple[str, ...], error: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    [line] = result.stderr.strip().splitlines()
    assert line.startswith(error)


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config" / "sources.yaml").write_text("docs:\n  type: local\n  pth: x\n")
    result = run("stats")
    assert result.exit_code == 1
    assert "config_invalid: sources.yaml:3: docs.pth: unknown key; did you mean 'path'?" in result.stderr


def test_wrong_usage_is_exit_code_2() -> None:
    assert run("query", "ada").exit_code == 2
    assert run("query", "ada", "docs", "x", "--limit", "0").exit_code == 2


def test_it_runs_as_a_module_and_quietly() -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "nodes.rag.cli",
        "query",
        "ada",
        "docs",
        "backups",
        "--json",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)[0]["document"] == "faq.txt"
