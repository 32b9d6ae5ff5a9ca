"""Answers of people from the shell: the JSON of every other way in, and flags for the plain ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from server.cli.main import app
from tests.kit.counted_tools import CountedTools
from waystation.testing.agents import write_config
from waystation.testing.model_server import ModelServer, call, calls, say

pytestmark = pytest.mark.slow

runner = CliRunner()


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def tools(tmp_path: Path, model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> CountedTools:
    model.reset()
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(write_config(tmp_path, sources=False)))
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WAYSTATION_MCP__BUNDLED", "false")
    monkeypatch.setenv("OPENAI_BASE_URL", model.url)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    return CountedTools(tmp_path / "home")


def asked(*flags: str) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(run("ask", "5 and 3?", "--thread", "t", "--json", *flags))
    assert reply["status"] == "interrupted"
    return reply


def run(*words: str, code: int = 0) -> str:
    found = runner.invoke(app, list(words))
    assert found.exit_code == code, found.output + found.stderr
    return found.stdout if code == 0 else found.stderr


def test_st2_a_thread_is_answered_with_the_json_of_every_other_way(tools: CountedTools) -> None:
    asked()
    refused = run("ask", "--thread", "t", "--answer", '{"decisions": [{"type": "dance"}]}', code=1)
    assert "'dance' is no decision here" in refused
    edit = {"type": "edit", "edited_action": {"name": "counted_add", "args": {"a": 1, "b": 2}}}
    reply = json.loads(run("ask", "--thread", "t", "--answer", json.dumps({"decisions": [edit]}), "--json"))
    assert (reply["status"], reply["tool_calls"][0]["decision"]["type"]) == ("done", "edit")
    assert tools.made == ["add 1 2"]


@pytest.mark.parametrize(
    ("flags", "made", "status"),
    [
        (["--approve"], ["add 5 3"], "ok"),
        (["--deny", "--reason", "not today"], [], "denied"),
        (["--answer", '{"respond": "eight"}'], [], "answered"),
    ],
)
def test_st2_a_run_is_gone_on_with_from_the_shell(
    tools: CountedTools, flags: list[str], made: list[str], status: str
) -> None:
    run_id = asked()["run_id"]
    reply = json.loads(run("runs", "resume", run_id, *flags, "--json"))
    assert [each["status"] for each in reply["tool_calls"]] == [status]
    assert (reply["run_id"], tools.made) == (run_id, made)
    assert "nothing_to_resume" in run("runs", "resume", run_id, code=1)


def test_g6_approve_with_a_message_does_not_lower_what_the_operator_asked_for(tools: CountedTools) -> None:
    assert "does not count here" in asked("--approve")["interrupts"][0]["detail"]
    assert tools.made == []


def test_at_a_terminal_each_question_is_asked_and_a_wrong_answer_once_more(
    tools: CountedTools, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.reset()
    model.script(calls(("counted_add", {"a": 5, "b": 3}), ("counted_times", {"a": 5, "b": 3})), say("Done."))
    typed = iter(["e", '{"a": "x", "b": 1}', "y", "e", '{"a": 2, "b": 1}', "n", ""])
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: next(typed))
    monkeypatch.setattr("server.cli.ask.at_a_terminal", lambda: True)
    found = runner.invoke(app, ["ask", "5 and 3?", "--thread", "t"])
    assert found.exit_code == 0, found.output
    assert "not taken: " in found.stderr
    assert "(edit by local)" in found.stderr
    assert tools.made == ["add 2 1"]


def test_for_people_it_says_what_waits_and_how_to_answer(tools: CountedTools) -> None:
    found = runner.invoke(app, ["ask", "5 and 3?", "--thread", "t"])
    assert "waiting for a person: May counted run 'add'? counted.add(a=5, b=3)" in found.stderr
    assert """or with --answer '{"decisions":[{"type":"approve"}]}'""" in found.stderr
    assert tools.made == []


def test_an_answer_has_no_message_beside_it(tools: CountedTools) -> None:
    assert "leave out the message" in run("ask", "hi", "--answer", "true", "--thread", "t", code=1)
    assert "name its session with --thread" in run("ask", "--answer", "true", code=1)
    assert tools.made == []
