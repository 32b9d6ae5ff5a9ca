"""What the program says of itself, and how a shell completes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.main import app, main

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).with_name("waystation")
runner = CliRunner()


def completed(line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    env = {
        **os.environ,
        "_WAYSTATION_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        (SCRIPT,), cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    return done.stdout.split()


def test_the_version_is_told_to_people_and_machines() -> None:
    said = json.loads(runner.invoke(app, ["--version", "--json"]).stdout)
    assert said["installed"] == "checkout"
    assert said["python"].startswith("3.")
    assert runner.invoke(app, ["--version"]).stdout.startswith(
        f"waystation {said['version']} (Python {said['python']},"
    )


def test_the_version_needs_none_of_the_modules(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> None:
        raise AssertionError("a module was loaded for --version")

    monkeypatch.setattr("server.cli.main.mount_modules", refused)
    monkeypatch.setattr(sys, "argv", ["waystation", "--json", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert json.loads(capsys.readouterr().out)["version"]


@pytest.mark.parametrize(
    ("words", "option", "why"),
    [
        (["--role", "api", "--tags", "gpu"], "--tags", "an api hands everything to workers"),
        (["--role", "api", "--executes", "runs"], "--executes", "an api hands everything to workers"),
        (["--role", "api", "--at-once", "3"], "--at-once", "an api hands everything to workers"),
        (["--executes", "tasks"], "--executes", "--role worker"),
        (["--role", "worker", "--executes", "tasks", "--at-once", "3"], "--at-once", "takes up no runs"),
        (["--modules", "rag", "--role", "api"], "--role", "without turns"),
    ],
)
def test_an_option_of_serve_that_changes_nothing_is_refused(
    words: list[str], option: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path / "home"))
    done = runner.invoke(app, ["serve", *words])
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert option in said
    assert "it has no effect here" in said
    assert why in said


@pytest.mark.parametrize(
    ("words", "option", "why"),
    [
        (["--role", "boss"], "--role", "must be 'all', 'api' or 'worker' (got 'boss')"),
        (["--role", "worker", "--executes", "naps"], "--executes", "must be 'runs' or 'tasks' (got 'naps')"),
        (["--role", "worker", "--tags", "a b"], "--tags", "(got 'a b')"),
    ],
)
def test_a_wrong_value_of_an_option_is_wrong_usage_and_told_by_the_option(
    words: list[str], option: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path / "home"))
    done = runner.invoke(app, ["serve", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    said = " ".join(done.stderr.replace("│", " ").split())
    assert f"Invalid value for {option}: " in said
    assert why in said


@pytest.mark.parametrize("words", [["--json"], ["--json", "modules"]])
def test_json_in_front_of_the_command_is_refused_with_its_place(words: list[str]) -> None:
    found = runner.invoke(app, words)
    assert found.exit_code == 2
    assert "behind the command" in found.stderr


def test_without_a_command_the_help_is_shown() -> None:
    found = runner.invoke(app, [])
    assert found.exit_code == 2
    assert "Usage: waystation" in found.output


def test_a_shell_completes_commands_and_those_of_modules(tmp_path: Path) -> None:
    assert completed("waystation ser", tmp_path) == ["serve"]
    assert completed("waystation config va", tmp_path) == ["validate"]
    assert completed("waystation breakers re", tmp_path) == ["reset"]
