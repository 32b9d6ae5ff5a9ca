"""`waystation runs`: what ran, what it told, its end, its recording and its replay."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from core.access import Principal
from core.settings import Context, Places
from graph import Agent
from graph.replay.recording import Recording
from server.cli.insight import show_run
from server.cli.main import app
from server.cli.runs import runs
from tests.kit.recordings import a_sum, recording, says
from waystation.testing.agents import write_config

pytestmark = pytest.mark.slow

LOCAL = Principal("local")

DOUBTER = """
from langchain_core.messages import AIMessage

async def doubt(state, runtime):
    return {"messages": [AIMessage("I doubt it")]}
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a configuration and a home in which three turns ran, and the ids of their runs."""
    folder = tmp_path_factory.mktemp("used")
    context = Context(Places(write_config(folder), folder / "home"), {}, {})

    async def talk() -> list[str]:
        async with Agent.open(context) as agent:
            questions = ("What is 5 + 3?", "For how long is a berth reserved at most?", "What is 1 + 1?")
            return [(await agent.ask(question, thread="cli"))["run_id"] for question in questions]

    return folder, asyncio.run(talk())


@pytest.fixture
def ids(used: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    folder, found = used
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("WAYSTATION_HOME", str(folder / "home"))
    monkeypatch.chdir(tmp_path)
    return found


CALLED = {
    "server": "clock",
    "tool": "now",
    "arguments": {},
    "status": "denied",
    "decision": {"type": "reject", "by": "ada", "reason": "no"},
}
RAN: dict[str, Any] = {
    "run_id": "r_1",
    "thread_id": "t_1",
    "user": "ada",
    "message": "hi",
    "status": "done",
    "reason": "",
    "attempts": 1,
    "created_at": "2026-11-25T13:51:24.000000+00:00",
    "ended_at": "2026-11-25T13:51:25.500000+00:00",
    "usage": {"input_tokens": 1, "output_tokens": 2, "model": "offline"},
    "cost": 0.25,
    "output": None,
    "error": None,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has no configuration: a replay needs none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    a_sum().save(tmp_path / "sum.json")
    return tmp_path


def call(*words: str, code: int = 0) -> Result:
    found = CliRunner().invoke(runs, list(words))
    assert found.exit_code == code, found.output
    return found


def program(*words: str) -> Result:
    found = CliRunner().invoke(app, list(words))
    assert found.exit_code == 0, found.output
    return found


def told(*words: str, code: int = 0) -> Any:
    return json.loads(call(*words, "--json", code=code).stdout)


def test_runs_are_listed_and_shown(ids: list[str]) -> None:
    listed = told("list", "--thread", "cli", "--status", "done")
    assert [run["run_id"] for run in listed][-2:] == ids[1::-1]
    assert told("list", "--after", ids[1])[0]["run_id"] == ids[0]
    assert told("list", "--status", "failed") == []
    row = next(run for run in listed if run["run_id"] == ids[0])
    assert (row["user"], row["message"]) == ("local", "What is 5 + 3?")
    line = next(each for each in call("list").stdout.splitlines() if each.startswith(ids[0]))
    assert {"done", "offline"} <= set(line.split())
    assert line.rstrip().endswith("What is 5 + 3?")
    shown = call("show", ids[0]).stdout
    assert "user:   local\n" in shown
    assert "  What is 5 + 3?\n" in shown
    assert "5 + 3 = 8" in shown
    assert 'calculator evaluate {"expression":"5 + 3"}: ok' in shown
    assert told("show", ids[0])["output"]["answer"] == "5 + 3 = 8"


def test_the_time_of_a_run_is_shown_as_the_api_tells_it(ids: list[str]) -> None:
    spans = told("spans", ids[0])
    assert spans["run_id"] == ids[0]
    assert {"run", "step", "model", "tool"} <= {span["kind"] for span in spans["spans"]}
    lines = call("spans", ids[0]).stdout.splitlines()
    assert lines[1].startswith("run ")
    assert any(line.lstrip().startswith("tool evaluate") for line in lines)
    assert "run_not_found" in call("spans", ids[0], "--user", "bob", code=1).stderr


def test_costs_are_those_of_the_runs(ids: list[str]) -> None:
    runs_here = told("list", "--limit", "200")
    found = json.loads(program("costs", "--by", "model", "--json").stdout)
    assert found["totals"]["runs"] == len(runs_here)
    assert found["totals"]["input_tokens"] == sum(run["usage"]["input_tokens"] for run in runs_here)
    assert "together" in program("costs").stdout
    assert program("costs", "--user", "bob").stdout == "(no runs)\n"
    assert "together" in program("costs", "--user", "bob", "--everybody").stdout


def test_the_audit_log_is_searched_by_run(ids: list[str]) -> None:
    lines = json.loads(program("audit", "--run", ids[0], "--json").stdout)
    assert {line["run_id"] for line in lines} == {ids[0]}
    assert {line["who"] for line in lines} == {"local"}
    shown = program("audit", "--run", ids[0]).stdout
    assert all(line["what"] in shown for line in lines)
    assert program("audit", "--by", "nobody").stdout == "(no such lines)\n"


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"status": "cancelled", "reason": "asked"}, "status: cancelled (asked)"),
        ({"ended_at": None}, "took:   -, 1 attempt"),
        ({"attempts": 2}, "took:   1.5 s, 2 attempts"),
        ({"cost": None}, "cost:   -"),
        ({"error": {"code": "gone", "title": "It is gone"}}, "gone: It is gone"),
        ({"output": {"files": [{"name": "a.csv", "size": 3, "key": "f_1"}]}}, "file a.csv (3 bytes): f_1"),
        ({"output": {"interrupts": [{"detail": "May it run?"}]}}, "waits: May it run?"),
        (
            {
                "output": {
                    "tool_calls": [{**CALLED, "decision": {"type": "reject", "by": "ada", "reason": "no"}}]
                }
            },
            "clock now {}: denied (reject by ada: no)",
        ),
    ],
)
def test_what_came_of_a_run_is_said_with_its_why(
    run: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_run({**RAN, **run})
    assert said in capsys.readouterr().out


def test_the_events_of_a_run_are_told_again(ids: list[str]) -> None:
    events = told("events", ids[0])
    assert (events[0]["type"], events[-1]["type"]) == ("run_started", "done")
    assert [event["seq"] for event in told("events", ids[0], "--after", str(events[-2]["seq"]))] == [
        events[-1]["seq"]
    ]
    lines = call("events", ids[0]).stdout.splitlines()
    assert len(lines) == len(events)
    assert lines[0].split()[:2] == ["1", "run_started"]


def test_a_run_that_is_over_cannot_be_cancelled(ids: list[str]) -> None:
    assert "run_ended" in call("cancel", ids[0], code=1).stderr


def test_a_run_that_waits_is_cancelled(ids: list[str]) -> None:
    with closing(sqlite3.connect(Path(os.environ["WAYSTATION_HOME"]) / "waystation.db")) as db, db:
        db.execute("UPDATE runs SET status = 'queued' WHERE id = ?", [ids[2]])
    assert call("cancel", ids[2]).stdout == f"run {ids[2]} is cancelled\n"
    assert told("show", ids[2])["status"] == "cancelled"


def test_somebody_elses_run_is_not_found(ids: list[str]) -> None:
    for command in ("show", "events", "cancel", "record"):
        assert "run_not_found" in call(command, ids[0], "--user", "bob", code=1).stderr


def test_a_run_is_recorded_and_replayed(ids: list[str], tmp_path: Path) -> None:
    recorded = told("record", ids[0])
    assert recorded == {
        "file": f"{ids[0]}.json",
        "run_id": ids[0],
        "status": "done",
        "model_calls": 2,
        "tool_calls": 1,
        "passages": 0,
    }
    assert Recording.load(tmp_path / f"{ids[0]}.json").question == "What is 5 + 3?"
    assert "as recorded" in call("replay", f"{ids[0]}.json").stdout
    assert "passages:" in call("record", ids[1], "-o", "berth.json").stdout
    replayed = told("replay", "berth.json")
    assert replayed["same"]
    assert "fourteen days" in replayed["answer"]


def test_a_step_of_this_configuration_can_take_part(ids: list[str], here: Path) -> None:
    replayed = told("replay", "sum.json", "--swap", "call_model", "--swap", "lookup_config", code=1)
    # The offline model asks for another tool than the one that was scripted.
    assert "no recorded answer for calculator_evaluate" in replayed["error"]["detail"]
    assert "no step 'guess'; steps: " in call("replay", "sum.json", "--swap", "guess", code=1).stderr


def test_a_swapped_step_is_found_where_the_command_is_called(here: Path) -> None:
    (here / "my_doubts.py").write_text(DOUBTER)
    found = call("replay", "sum.json", "--swap", "call_model=my_doubts:doubt", code=1)
    assert "I doubt it" in found.stdout
    assert "step 3, call_model: text" in found.stdout
    assert "cannot be imported" in call("replay", "sum.json", "--swap", "call_model=no:no", code=1).stderr


def test_a_replay_is_written_out_as_a_test(here: Path) -> None:
    assert told("replay", "sum.json", "--pytest", "test_sum.py")["test"] == "test_sum.py"
    assert "def test_sum" in (here / "test_sum.py").read_text()
    assert Recording.load(here / "test_sum.json") == a_sum()
    refused = call("replay", "sum.json", "--swap", "call_model", "--pytest", "test_sum.py", code=1)
    assert "give it as module:attribute" in refused.stderr
    assert "cannot be written" in call("replay", "sum.json", "--pytest", "nowhere/test_sum.py", code=1).stderr


def test_a_failed_turn_shows_its_error(here: Path) -> None:
    recording(says("x"), status="failed", error={"code": "unavailable", "detail": "away"}).save(
        here / "f.json"
    )
    assert "unavailable: away" in call("replay", "f.json").stdout


def test_a_file_that_is_no_recording_is_refused(here: Path) -> None:
    (here / "other.json").write_text("{}")
    assert "is no recording" in call("replay", "other.json", code=1).stderr
    assert "cannot be read" in call("replay", "none.json", code=1).stderr
