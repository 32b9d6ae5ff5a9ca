"""The command line, in this process, against the offline model and a scripted server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nodes.llm.cli import app
from waystation.testing.model_server import ModelServer, call, refuse

run = CliRunner()


def test_the_offline_model_answers() -> None:
    done = run.invoke(app, ["call", "offline", "hello"])
    assert done.exit_code == 0
    assert done.stdout.startswith("I am the offline model.")


def test_json_tells_text_and_usage() -> None:
    found = json.loads(run.invoke(app, ["call", "offline", "hello", "--json"]).stdout)
    assert found["usage"]["model"] == "offline"
    assert found["tool_calls"] == []


def test_the_wanted_call_is_shown() -> None:
    done = run.invoke(app, ["call-with-tools", "offline", "What is 5 + 3?", "--tools", "add"])
    assert done.stdout == 'wants: add({"a": 5, "b": 3})\n'


def test_tools_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps({"function": {"name": "now", "description": "time now", "parameters": {}}}))
    done = run.invoke(
        app, ["call-with-tools", "offline", "What time is it now?", "--tools", str(file), "--json"]
    )
    assert json.loads(done.stdout)["tool_calls"][0]["name"] == "now"


@pytest.mark.parametrize("text", [None, "{", "[1]", '{"a": 1}'])
def test_a_file_that_holds_no_tools_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "tools.json"
    if text is not None:
        file.write_text(text)
    done = run.invoke(app, ["call-with-tools", "offline", "x", "--tools", str(file)])
    assert done.exit_code == 1
    assert done.stderr.startswith("invalid_input: 'tools.json'")


def test_unknown_names_are_refused_in_one_line() -> None:
    for arguments in (["call", "nope", "x"], ["call-with-tools", "offline", "x", "--tools", "nope"]):
        done = run.invoke(app, arguments)
        assert done.exit_code == 1
        assert "nope" in done.stderr
        assert done.stderr.count("\n") == 1


def test_models_and_ping_with_a_server(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    listed = json.loads(run.invoke(app, ["models", "--json"]).stdout)
    assert [(m["name"], m["default"]) for m in listed] == [("openai", True), ("offline", False)]
    assert "offline" in run.invoke(app, ["models"]).stdout
    assert json.loads(run.invoke(app, ["ping", "--json"]).stdout)[0] == {
        "model": "openai",
        "ok": True,
        "reason": "",
    }
    server.configure(models_status=500)
    down = run.invoke(app, ["ping", "openai"])
    assert down.exit_code == 1
    assert "failed (500)" in " ".join(down.stdout.split())


def test_a_real_models_answer_and_refusal(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.script(call("add", {"a": 1, "b": 2}, text="Let me see. "), refuse(401))
    done = run.invoke(app, ["call-with-tools", "openai", "1 + 2"])
    assert done.stdout == 'Let me see. \nwants: add({"a": 1, "b": 2})\n'
    refused = run.invoke(app, ["call", "openai", "x"])
    assert refused.exit_code == 1
    assert refused.stderr.startswith("model_refused: ")
