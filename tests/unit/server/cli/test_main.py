"""`waystation` as people and scripts call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.main import app, main, mount_modules
from waystation.testing.agents import write_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
runner = CliRunner()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(write_config(tmp_path)))
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path / "home"))
    return tmp_path


def call(*words: str, code: int = 0) -> str:
    found = runner.invoke(app, list(words))
    assert found.exit_code == code, found.output + found.stderr
    return found.stdout if code == 0 else found.stderr


def process(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli.main", *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.mark.usefixtures("places")
def test_a_question_is_answered_and_its_session_is_there() -> None:
    answer = json.loads(call("ask", "What is 5 + 3?", "--thread", "cli", "--json"))
    assert "8" in answer["answer"]
    assert [thread["id"] for thread in json.loads(call("threads", "list", "--json"))] == ["cli"]
    assert "cli" in call("threads", "list")
    assert "What is 5 + 3?" in call("threads", "show", "cli")
    assert json.loads(call("threads", "show", "cli", "--json"))["messages"][0]["role"] == "user"
    assert json.loads(call("threads", "history", "cli", "--limit", "2", "--json"))["checkpoints"]
    assert "checkpoint_id" in call("threads", "history", "cli")
    assert "thread_not_found" in call("threads", "show", "cli", "--user", "bob", code=1)
    assert call("threads", "delete", "cli") == "deleted cli\n"
    assert "thread_not_found" in call("threads", "delete", "cli", "--json", code=1)


def test_for_people_the_answer_is_on_stdout_and_the_rest_beside_it(places: Path) -> None:
    data = places / "sales.csv"
    data.write_text("region,amount\nnorth,10\n")
    found = runner.invoke(app, ["ask", "What is 5 + 3?", "--tool", "calculator", "--file", str(data)])
    assert found.exit_code == 0, found.stderr
    assert "8" in found.stdout
    assert "calculator." in found.stderr
    assert "thread t_" in found.stderr


@pytest.mark.usefixtures("places")
def test_citations_are_shown_under_the_answer() -> None:
    assert "[1]" in call("ask", "How long may a berth be reserved?")


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["ask", ""], "invalid_input: "),
        (["ask", "--approve"], "invalid_input: --approve and --deny"),
        (["ask", "--deny", "--thread", "nobody"], "thread_not_found: "),
        (["ask", "hi", "--model", "nope"], "unknown_model: "),
        (["ask", "hi", "--source", "nope"], "unknown_source: "),
        (["ask", "hi", "--tool", "nope"], "unknown_tool: "),
        (["ask", "hi", "--thread", "a/b"], "invalid_id: "),
        (["ask", "hi", "--file", "/nowhere/secret.txt"], "invalid_input: there is no file 'secret.txt'"),
        (["threads", "show", "nobody"], "thread_not_found: "),
        (["threads", "list", "--status", "lost"], "invalid_input: "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_one(words: list[str], line: str) -> None:
    said = call(*words, code=1)
    assert said.startswith(line)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["ask", "hi", "--nope"], ["threads", "list", "--limit", "0"], ["nope"], ["threads"]]
)
def test_wrong_usage_is_exit_code_two(words: list[str]) -> None:
    assert runner.invoke(app, words).exit_code == 2


@pytest.mark.usefixtures("places")
def test_the_registry_the_health_and_the_picture() -> None:
    modules = json.loads(call("modules", "--json"))
    check = json.loads(call("check", "--json"))
    assert {"config", "file_storage", "llm", "mcp_tools", "rag"} <= {module["name"] for module in modules}
    assert all({"name", "version", "state"} <= module.keys() for module in modules)
    assert check["ready"] is True
    assert "llm" in call("modules")
    assert call("check").endswith("ready\n")
    assert "lookup_config" in call("graph")


def test_a_module_that_failed_makes_the_check_fail(places: Path) -> None:
    (places / "home").mkdir()
    (places / "home" / "files").write_text("in the way of the folder")
    assert runner.invoke(app, ["check"]).exit_code == 1


def test_the_check_waits_for_tool_servers_and_names_one_that_cannot_start(places: Path) -> None:
    gone = {"command": [sys.executable, "-c", "raise SystemExit(3)"]}
    (places / "config" / "mcp.json").write_text(json.dumps({"gone": gone}))
    found = json.loads(call("check", "--json"))
    tools = found["modules"]["mcp_tools"]
    assert (found["ready"], tools["state"]) == (True, "degraded"), "a turn works without tools"
    assert "server 'gone' is down: its process exited with code 3" in tools["reason"]
    states = {name: server["state"] for name, server in tools["details"]["servers"].items()}
    assert states.pop("gone") == "down"
    assert set(states.values()) == {"up"}


def test_every_module_has_its_word() -> None:
    mount_modules()
    for word in ("config", "files", "llm", "rag", "mcp"):
        assert "Usage" in call(word, "--help")


@pytest.mark.usefixtures("started_anew")
def test_the_help_lists_every_command() -> None:
    said = process("--help")
    assert said.returncode == 0
    for word in (
        "serve",
        "ask",
        "threads",
        "check",
        "graph",
        "modules",
        "config",
        "files",
        "llm",
        "rag",
        "mcp",
    ):
        assert word in said.stdout


def test_a_broken_configuration_is_named_with_file_and_line(places: Path) -> None:
    (places / "config" / "waystation.yaml").write_text("server:\n  prot: 8000\n")
    for words in (["ask", "hi"], ["serve"], ["check"]):
        said = process(*words)
        assert said.returncode == 1
        assert "waystation.yaml:2" in said.stderr
        assert "did you mean 'port'" in said.stderr
        assert "Traceback" not in said.stderr


@pytest.mark.usefixtures("places")
def test_a_module_word_works_from_the_console_script() -> None:
    assert "local" not in process("config", "validate").stderr


@pytest.mark.usefixtures("places")
def test_an_unforeseen_fault_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault() -> None:
        raise ZeroDivisionError("by nobody")

    monkeypatch.setattr(sys, "argv", ["waystation", "serve"])
    monkeypatch.setattr("server.cli.main.app", fault)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("internal: ZeroDivisionError: by nobody;")


def test_the_picture_of_the_graph_is_a_png_for_a_file() -> None:
    result = runner.invoke(app, ["graph", "--format", "png"])
    assert result.exit_code == 0
    assert result.stdout_bytes.startswith(b"\x89PNG")
