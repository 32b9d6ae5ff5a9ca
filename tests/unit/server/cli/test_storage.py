"""`waystation storage top`: which threads take how much."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.access import Principal
from nodes.file_storage import FileManager
from nodes.llm.fake import ScriptedModel
from server.cli.storage import size, storage
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

ADA = Principal("ada")
LONG = "A long answer. " * 400


@pytest.fixture(params=["sqlite", "postgresql"])
def call(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The command on a database where somebody has talked."""
    monkeypatch.chdir(tmp_path)
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        address = url.set(drivername="postgresql").render_as_string()
        monkeypatch.setenv("WAYSTATION_STORAGE__URL", address)
    asyncio.run(talk(tmp_path, {"url": address} if request.param == "postgresql" else {}))
    return CliRunner()


async def talk(folder: Path, database: dict[str, str]) -> None:
    fakes = Fakes(model=ScriptedModel(LONG, LONG, LONG, "Short."))
    async with open_agent(folder, providers=[fakes], storage=database) as agent:
        for number in range(3):
            await agent.ask(f"Question {number}?", thread="much", user="ada")
        await agent.ask("A title that is much longer than what a table has room for", thread="little")
    async with open_agent(folder, storage=database) as agent:
        files = await agent.container.get(FileManager)
        await files.put(ADA, "notes.txt", b"x" * 5000, thread="much")


def top(call: CliRunner, *options: str) -> dict[str, Any]:
    result = call.invoke(storage, ["top", "--json", *options])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_largest_thread_comes_first_with_all_that_belongs_to_it(call: CliRunner) -> None:
    found = top(call)
    much, little = found["threads"]
    assert (much["thread_id"], much["owner"], much["turns"]) == ("much", "ada", 3)
    assert (little["thread_id"], little["owner"], little["turns"]) == ("little", "local", 1)
    assert much["title"] == "Question 0?"
    assert much["checkpoints"] == 3 * little["checkpoints"] > 0
    taken = much["bytes"]
    assert taken["files"] == 5000
    assert taken["transcript"] > 100
    assert taken["total"] == sum(taken[k] for k in ("checkpoints", "values", "transcript", "runs", "files"))
    totals = found["totals"]
    assert totals["threads"] == 2
    assert totals["bytes"]["total"] == taken["total"] + little["bytes"]["total"]
    assert totals["database_bytes"] > totals["bytes"]["transcript"]


def test_fewer_can_be_asked_for_and_files_left_out(call: CliRunner) -> None:
    found = top(call, "--limit", "1", "--no-files")
    assert [thread["thread_id"] for thread in found["threads"]] == ["much"]
    assert found["totals"]["threads"] == 2
    assert found["totals"]["bytes"]["files"] == 0


def test_people_get_a_table(call: CliRunner) -> None:
    result = call.invoke(storage, ["top"])
    assert result.exit_code == 0
    much, little = result.stdout.splitlines()[1:3]
    assert much.startswith("much")
    assert "5.0 kB" in much
    assert "A title that is much longer t…" in little
    assert "2 threads" in result.stdout
    assert "on disk" in result.stdout


def test_rows_are_told_with_what_bounds_them(call: CliRunner) -> None:
    result = call.invoke(storage, ["rows"])
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("runs "))
    assert line.split()[1] == "4"
    assert line.rstrip().endswith("threads.keep_runs_days: for ever")
    found = {one["table"]: one for one in json.loads(call.invoke(storage, ["rows", "--json"]).stdout)}
    assert found["transcript"]["rows"] == 8


def test_an_empty_database_has_no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(storage, ["top"])
    assert result.exit_code == 0, result.output
    assert "(no threads)" in result.stdout


def test_sizes_are_told_in_units_of_a_thousand() -> None:
    assert [size(n) for n in (0, 999, 1000, 1_250_000, 3e9, 4e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "3.0 GB",
        "4.0 TB",
    ]
