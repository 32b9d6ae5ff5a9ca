"""`waystation init`: what it writes is valid, is used, and is never written over something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.init import files
from server.cli.main import app, mount_modules
from tests.docs.test_notebooks import run as run_notebook

pytestmark = pytest.mark.slow

WRITTEN = [
    "config/waystation.yaml",
    "config/models.yaml",
    "config/sources.yaml",
    "config/mcp.json",
    "plugins/dice/plugin.json",
    "plugins/dice/server.py",
    "first.ipynb",
]
runner = CliRunner()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the current one; its home is the usual one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("WAYSTATION_HOME")
    return folder


def call(*words: str, code: int = 0) -> str:
    found = runner.invoke(app, list(words))
    assert found.exit_code == code, found.output + found.stderr
    return found.stdout if code == 0 else found.stderr


def test_it_writes_into_the_current_folder_and_says_what(here: Path) -> None:
    assert json.loads(call("init", "--json")) == {"folder": str(here), "written": WRITTEN, "there": []}
    found = [path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(WRITTEN)
    assert "mcp:\n  plugins: [../plugins]\n" in (here / "config" / "waystation.yaml").read_text()


def test_another_folder_is_made_and_named(here: Path) -> None:
    said = call("init", "deep/agent")
    assert (here / "deep" / "agent" / "first.ipynb").is_file()
    assert said.startswith("wrote deep/agent/config/waystation.yaml\n")
    assert "cd deep/agent, and then" in said
    assert "cd 'my agent', and then" in call("init", "my agent")


def test_what_is_there_is_named_and_stays(here: Path) -> None:
    (here / "config").mkdir()
    (here / "config" / "waystation.yaml").write_text("server:\n  port: 9000\n")
    (here / "first.ipynb").symlink_to(here / "nowhere")
    said = call("init")
    assert "config/waystation.yaml is there already, and stays as it is" in said
    assert "first.ipynb is there already" in said
    assert "to use the plugin, say in config/waystation.yaml:\nmcp:\n  plugins: [../plugins]" in said
    assert (here / "config" / "waystation.yaml").read_text() == "server:\n  port: 9000\n"
    assert not (here / "nowhere").exists()
    again = json.loads(call("init", "--json"))
    assert (again["written"], again["there"]) == ([], WRITTEN)
    assert "to use the plugin" not in call("init")


@pytest.mark.parametrize("target", ["taken", "taken/agent"])
def test_a_folder_that_cannot_be_made_is_told(here: Path, target: str) -> None:
    (here / "taken").write_text("a file")
    told = call("init", target, code=1)
    assert told.startswith("invalid_input: ")
    assert "is no folder" in told
    assert len(told.splitlines()) == 1


def test_a_file_where_one_of_its_folders_has_to_be_is_told(here: Path) -> None:
    (here / "plugins").write_text("a file")
    assert call("init", code=1).startswith("invalid_input: ")


def test_what_the_system_says_is_passed_on(here: Path) -> None:
    assert "cannot be written: File name too long; name a folder where you may write" in call(
        "init", "x" * 300, code=1
    )
    assert list(here.iterdir()) == []


def test_the_service_is_ready_with_it_and_uses_the_plugin(here: Path) -> None:
    call("init")
    mount_modules()
    assert json.loads(call("check", "--json"))["ready"] is True
    assert call("mcp", "call-tool", "dice", "roll", '{"sides": 1}').strip() == "1"
    answer = json.loads(call("ask", "Roll a die with 6 sides", "--json"))
    assert [(made["server"], made["status"]) for made in answer["tool_calls"]] == [("dice", "ok")]
    answer = json.loads(call("ask", "What does the lease of a thread do?", "--json"))
    assert {citation["source"] for citation in answer["citations"]} == {"handbook"}
    assert (here / ".waystation").is_dir()


def test_its_notebook_runs(here: Path) -> None:
    call("init")
    shown = run_notebook(here / "first.ipynb", folder=here)
    assert shown['reply = await agent.ask("What is 5 + 3?", thread="first")'].strip() == "5 + 3 = 8"
    assert "[('dice', 'roll')]" in shown['reply = await agent.ask("Roll a die with 6 sides", tools=["dice"])']


def test_the_example_configuration_has_the_line_that_it_replaces() -> None:
    assert "\nmcp:\n" in dict(files())["config/waystation.yaml"]
