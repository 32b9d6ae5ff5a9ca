"""`llm call-with-tools` on real tool servers: the whole loop, in a process of the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nodes.llm.cli import app
from tests.kit.counted_tools import CountedTools
from waystation.testing.model_server import ModelServer, call, calls, say


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(running: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """A configuration folder whose one file is that of the models."""
    running.reset()
    (tmp_path / "models.yaml").write_text(
        f"models:\n  gpt-4: {{model_name: gpt-4-0613, model_url: '{running.url}'}}\n"
    )
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(tmp_path))
    return running


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["call-with-tools", *arguments])


def test_cl1_a_model_calls_the_real_server_of_that_name_and_answers(model: ModelServer) -> None:
    model.script(call("calculator_evaluate", {"expression": "5+3"}), say("It is 8."))
    done = run("gpt-4", "Calculate 5+3", "--tools", "calculator")
    assert (done.exit_code, done.stdout) == (0, "It is 8.\n")
    assert done.stderr == 'calculator_evaluate({"expression": "5+3"}) ok: 8\n'
    asked, answered = model.requests()
    assert {"calculator_add", "calculator_evaluate"} <= {t["function"]["name"] for t in asked["tools"]}
    assert answered["messages"][-1]["content"] == "8"


def test_cl1_the_offline_model_does_too() -> None:
    done = run("offline", "Calculate 5+3", "--tools", "calculator", "--json")
    found = json.loads(done.stdout)
    assert "8" in found["text"]
    assert [(c["server"], c["tool"], c["status"], c["content"]) for c in found["tool_calls"]] == [
        ("calculator", "evaluate", "ok", "8")
    ]
    assert found["usage"]["model"] == "offline"


def test_a_single_tool_may_be_named_and_several_calls_are_made(model: ModelServer) -> None:
    model.script(calls(("calculator_add", {"a": 1, "b": 2}), ("clock_now", {})), say("Three."))
    done = run("gpt-4", "x", "--tools", "calculator_add, clock", "--json")
    found = json.loads(done.stdout)
    assert [c["name"] for c in found["tool_calls"]] == ["calculator_add", "clock_now"]
    offered = {tool["function"]["name"] for tool in model.requests()[0]["tools"]}
    assert "calculator_add" in offered
    assert "calculator_evaluate" not in offered


def test_what_a_tool_refuses_and_what_was_not_offered_is_told_to_the_model(model: ModelServer) -> None:
    wanted: list[tuple[str, dict[str, str] | str]] = [
        ("calculator_evaluate", {"expression": "1/0"}),
        ("tables_aggregate", {}),
        ("calculator_add", "{"),
    ]
    model.script(calls(*wanted), say("Sorry."))
    found = json.loads(run("gpt-4", "x", "--tools", "calculator", "--json").stdout)
    assert [c["status"] for c in found["tool_calls"]] == ["error", "error", "error"]
    told = [m["content"] for m in model.requests()[1]["messages"] if m["role"] == "tool"]
    assert "division by zero" in told[0]
    assert "there is no tool 'tables_aggregate'" in told[1]
    assert "not a JSON object" in told[2]


@pytest.mark.parametrize(
    ("word", "status", "made"),
    [("", "denied", []), ("--deny", "denied", []), ("--approve", "ok", ["add 5 3"])],
)
def test_a_tool_that_asks_first_runs_only_with_a_word(
    model: ModelServer, tmp_path: Path, word: str, status: str, made: list[str]
) -> None:
    counted = CountedTools(tmp_path / "home")
    model.script(call("counted_add", {"a": 5, "b": 3}), say("Done."))
    done = run("gpt-4", "x", "--tools", "counted", "--json", *([word] if word else []))
    assert [c["status"] for c in json.loads(done.stdout)["tool_calls"]] == [status]
    assert counted.made == made
    assert word or "say --approve" in model.requests()[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("calculater", "did you mean 'calculator'?"),
        ("nope", "servers: calculator, clock, tables; examples that are only shown: add, now"),
        ("calculator_nope", "the server 'calculator' has no tool 'calculator_nope'; tools: calculator_add"),
        ("add,calculator", "there is no tool server 'add'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(tools: str, said: str) -> None:
    done = run("offline", "x", "--tools", tools)
    assert done.exit_code == 1
    assert done.stderr.startswith("invalid_input: ")
    assert said in done.stderr


def test_a_server_that_does_not_come_up_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mcp.json").write_text(json.dumps({"broken": {"command": ["false"]}}))
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(tmp_path))
    done = run("offline", "x", "--tools", "broken")
    assert done.exit_code == 1
    assert "broken" in done.stderr


def test_a_model_that_never_stops_calling_is_stopped(model: ModelServer) -> None:
    model.script(*[call("clock_now", {}) for _ in range(3)])
    done = run("gpt-4", "x", "--tools", "clock", "--rounds", "2")
    assert done.exit_code == 1
    assert "still wants tools after 2 rounds" in done.stderr
    assert len(model.requests()) == 2
