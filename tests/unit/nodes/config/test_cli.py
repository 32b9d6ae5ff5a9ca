"""The command line on a folder of the test, read as all the real modules declare it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from core.container import open_module
from core.settings import Context
from nodes.config import ConfigLookup
from nodes.config.cli import app
from nodes.config.module import MODULE
from tests.kit.webhook_server import SECRET

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(folder))
    (tmp_path / "home").mkdir()
    return folder


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args, catch_exceptions=False)


def as_json(*args: str) -> Any:
    return json.loads(run(*args, "--json").stdout)


def test_an_empty_folder_is_a_valid_configuration(config: Path) -> None:
    result = run("validate")
    assert result.exit_code == 0
    assert "The configuration is valid." in result.stdout
    assert "not there: defaults" in result.stdout


UNKNOWN_NAMES = """\
webhooks:
  allowed_hosts: [h.example.com]
  hooks:
    - {name: ops, url: https://h.example.com/, secret: SECRET, events: [TurnFinishd]}
    - {name: all, url: https://h.example.com/, secret: SECRET, events: ["*", KeyMade]}
modules: {disabled: [ragg]}
server: {run_tags: {offlin: big, offline: big, "group:staff": big}}
mcp:
  disabled: [clok, clock]
  plugins: [nowhere, "."]
resilience:
  targets: {"model:offlin": {}, "source:wikki": {}, "server:clok": {}, "other:any": {}, "source:wiki": {}}
schedules:
  runs:
    - {name: a, cron: 0 7 * * *, message: hi, user: ada, model: offlin, sources: [zzz, "*"], webhook: op}
    - {name: b, cron: 0 7 * * *, message: hi, user: ada, model: offline, webhook: "https://h.example.com/x"}
"""


def test_validate_tells_names_that_nothing_has_with_the_nearest_that_there_is(config: Path) -> None:
    (config / "waystation.yaml").write_text(UNKNOWN_NAMES.replace("SECRET", SECRET))
    (config / "sources.yaml").write_text("wiki: {path: .}\n")
    result = run("validate")
    assert result.exit_code == 1
    assert [line.removeprefix("config_invalid: waystation.yaml:") for line in result.stderr.splitlines()] == [
        "7: server.run_tags.offlin: there is no model 'offlin'; did you mean 'offline'?",
        "6: modules.disabled.0: there is no module 'ragg'; did you mean 'rag'?",
        "4: webhooks.hooks.0.events.0: there is no event 'TurnFinishd'; did you mean 'TurnFinished'?",
        "12: resilience.targets.model:offlin: there is no model 'offlin'; did you mean 'offline'?",
        "12: resilience.targets.source:wikki: there is no source 'wikki'; did you mean 'wiki'?",
        "12: resilience.targets.server:clok: there is no server 'clok'; did you mean 'clock'?",
        "15: schedules.runs.0.model: there is no model 'offlin'; did you mean 'offline'?",
        "15: schedules.runs.0.sources.0: there is no source 'zzz'; sources: wiki",
        "15: schedules.runs.0.webhook: there is no hook 'op'; did you mean 'ops'?",
        "10: mcp.plugins.0: there is no folder 'nowhere'; make it, or take it out",
        "9: mcp.disabled.0: there is no server 'clok'; did you mean 'clock'?",
    ]


def test_validate_names_every_problem_on_stderr(config: Path) -> None:
    (config / "waystation.yaml").write_text("server:\n  prt: 1\nlimits: {steps: 0}\n")
    (config / "models.yaml").write_text("models:\n  m: {}\n")
    result = run("validate")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[:2] == [
        "config_invalid: waystation.yaml:2: server.prt: unknown key; did you mean 'port'?",
        "config_invalid: waystation.yaml:3: limits.steps: must be greater than or equal to 1 (got 0)",
    ]
    assert "models.yaml:2: models.m.model_name: a required key is missing" in result.stderr


def test_validate_as_json_is_one_object_either_way(config: Path) -> None:
    assert as_json("validate")["valid"] is True
    (config / "waystation.yaml").write_text("server: {prt: 1}\n")
    found = as_json("validate")
    assert found["valid"] is False
    assert found["problems"][0]["line"] == 1
    assert found["problems"][0]["key"] == "server.prt"


def test_models_are_listed(config: Path) -> None:
    (config / "models.yaml").write_text(
        "models: {mine: {model_name: q, model_url: 'http://127.0.0.1:1/v1'}}\n"
    )
    assert "mine" in [model["name"] for model in as_json("list-models")]
    assert "mine" in run("list-models").stdout


def test_show_prints_values_and_origins(config: Path) -> None:
    (config / "waystation.yaml").write_text("limits:\n  steps: 7\n")
    assert {"key": "limits.steps", "value": 7, "origin": "waystation.yaml:2"} in as_json("show", "limits")
    assert "waystation.yaml:2" in run("show").stdout
    result = run("show", "limit")
    assert result.exit_code == 1
    assert "unknown_config_part: no section or file 'limit'; did you mean 'limits'?" in result.stderr


def test_show_refuses_a_configuration_that_is_not_valid(config: Path) -> None:
    (config / "waystation.yaml").write_text("limits: {steps: x}\n")
    result = run("show")
    assert result.exit_code == 1
    assert result.stderr.startswith("config_invalid: waystation.yaml:1: limits.steps: must be a whole number")


def test_schemas_are_printed_or_written(config: Path, tmp_path: Path) -> None:
    assert json.loads(run("schema", "limits").stdout)["title"] == "LimitSettings"
    assert {"server", "models", "waystation"} <= set(json.loads(run("schema").stdout))
    assert "sources" not in json.loads(run("schema", "sources").stdout).get("properties", {})
    result = run("schema", "--out", str(tmp_path / "schemas"))
    assert result.exit_code == 0
    written = json.loads((tmp_path / "schemas" / "waystation.schema.json").read_text())
    assert "limits" in written["properties"]


def test_schemas_that_cannot_be_written_are_told(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("schema", "limits", "--output", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert result.stderr.startswith("schema_not_written: limits.schema.json cannot be written into 'file'")


def test_reload_check_compares_with_the_defaults_where_no_service_started(config: Path) -> None:
    (config / "waystation.yaml").write_text("limits: {steps: 7}\n")
    found = as_json("reload-check")
    assert (found["accepted"], found["compared_with"]) == (True, "defaults")
    assert {"key": "limits.steps", "old": 25, "new": 7} in found["changes"]
    assert "Compared with the defaults" in run("reload-check").stdout


@pytest.mark.usefixtures("started_anew")
async def test_reload_check_compares_with_the_service_that_started(config: Path) -> None:
    container = open_module(MODULE, Context.current())
    await MODULE.open(container)
    assert (await MODULE.health(container)).state == "healthy"
    assert isinstance(await container.get(ConfigLookup), ConfigLookup)
    await container.close()
    (config / "waystation.yaml").write_text("limits: {steps: 7}\n")
    # A command runs its own event loop, so it runs in a process of its own here.
    command = [sys.executable, "-m", "nodes.config.cli", "reload-check"]
    done = subprocess.run(
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Compared with the service that started at 20" in done.stdout
    assert "limits.steps" in done.stdout


def test_reload_check_refuses_what_is_not_valid(config: Path) -> None:
    (config / "mcp.json").write_text("{")
    result = run("reload-check")
    assert result.exit_code == 1
    assert "config_invalid: mcp.json:1: is not valid JSON" in result.stderr
    assert as_json("reload-check")["accepted"] is False


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", "gone")
    result = run("validate")
    assert result.exit_code == 1
    assert "environment variable WAYSTATION_CONFIG_DIR: there is no folder 'gone'" in result.stderr


def test_the_example_configuration_is_valid_without_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(ROOT / "config"))
    assert run("validate").stderr == ""
    assert all(report["read"] for report in as_json("validate")["files"])


def test_the_commented_models_of_the_example_are_valid(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = (ROOT / "config" / "models.yaml").read_text().split("something like this:\n#\n")[1]
    (config / "models.yaml").write_text("\n".join(line.removeprefix("# ") for line in example.splitlines()))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    result = run("validate")
    assert (result.exit_code, result.stderr) == (0, "")
