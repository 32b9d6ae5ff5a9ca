from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from core.resilience import BreakerOpen, breakers_folder
from core.resilience.cli import app
from core.resilience.status import ask_reset, running
from core.settings import Places
from tests.unit.core.resilience.dependency import Dependency, Service, fail

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
RESET = "from core.resilience.cli import app; app()"
OPENS = """
import asyncio, sys
from core.resilience import breakers_folder
from core.settings import Places
from tests.unit.core.resilience.dependency import Service, fail
service = Service(breakers_folder(Places.from_environ()))
asyncio.run(fail(service.policy("theirs"), 5))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Path:
    return breakers_folder(Places.from_environ())


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    made = Service(folder)
    yield made
    made.policies.close()


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


async def test_a_reset_from_another_process_lets_the_next_call_through(service: Service) -> None:
    policy = service.policy()
    await fail(policy, 5)
    with pytest.raises(BreakerOpen):
        await policy.call(Dependency())
    command = [sys.executable, "-c", RESET, "reset", "other:x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "reset other:x: the next call goes through\n"
    assert await policy.call(Dependency()) == 1
    assert service.state() == "closed"


async def test_a_reset_counts_once(service: Service, folder: Path) -> None:
    policy = service.policy()
    await fail(policy, 5)
    ask_reset(folder, "all")
    assert await policy.call(Dependency()) == 1
    await fail(policy, 5)
    with pytest.raises(BreakerOpen):
        await policy.call(Dependency())


async def test_a_reset_of_one_target_leaves_the_others(service: Service, folder: Path) -> None:
    for name in ("x", "y"):
        await fail(service.policy(name), 5)
    ask_reset(folder, "other:y")
    with pytest.raises(BreakerOpen):
        await service.policy("x").call(Dependency())
    assert await service.policy("y").call(Dependency()) == 1


async def test_states_stand_in_a_file_until_the_service_closes(service: Service, folder: Path) -> None:
    assert running(folder) == {}
    await fail(service.policy(), 5)
    (target,) = running(folder)[os.getpid()]
    assert (target["name"], target["state"], target["failures"]) == ("x", "open", 5)
    await service.policies.reset("other", "x")
    assert running(folder)[os.getpid()][0]["state"] == "closed"
    service.policies.close()
    assert running(folder) == {}


def test_the_file_of_a_killed_process_vanishes(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OPENS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        while process.stdout.readline() != "open\n":
            assert process.poll() is None
        assert [each["name"] for each in running(folder)[process.pid]] == ["theirs"]
        process.kill()
    assert running(folder) == {}
    assert list(folder.glob("*.json")) == []


def test_a_file_from_an_earlier_process_of_the_same_number_vanishes(folder: Path) -> None:
    folder.mkdir(parents=True)
    left = folder / f"{os.getpid()}.1.json"
    left.write_text(json.dumps({"pid": os.getpid(), "born": "1", "targets": []}))
    (folder / "half.json").write_text('{"pid": ')
    assert running(folder) == {}
    assert not left.exists()


@pytest.mark.parametrize(
    "text", ["[]", "{}", "7", '{"pid": 1, "born": "1"}', '{"pid": "x", "born": 1, "targets": 2}']
)
def test_a_file_that_is_no_states_is_passed_over(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "other.json").write_text(text)
    assert running(folder) == {}


def test_a_process_of_another_user_counts_as_alive(folder: Path) -> None:
    if os.geteuid() == 0:
        born = Path("/proc/1/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    else:
        born = "not asked for"
    folder.mkdir(parents=True)
    (folder / "1.1.json").write_text(json.dumps({"pid": 1, "born": born, "targets": []}))
    assert list(running(folder)) == [1]


async def test_a_folder_that_cannot_be_written_costs_no_call(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in the way")
    service = Service(tmp_path / "state")
    with structlog.testing.capture_logs() as logs:
        await fail(service.policy(), 5)
    assert service.state() == "open"
    assert [line["event"] for line in logs] == ["breaker_opened", "breaker_states_not_written"]


def test_the_commands_show_and_reset_what_runs(run: CliRunner, folder: Path) -> None:
    assert run.invoke(app, ["list"]).stdout == "(no breaker has opened)\n"
    born = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    target = {
        "kind": "model", "name": "fast", "state": "open", "since": "2026-11-01T12:00:00+00:00",
        "failures": 5, "calls": 5, "reason": "5 of 5 calls failed",
    }  # fmt: skip
    folder.mkdir(parents=True)
    body = {"pid": os.getpid(), "born": born, "targets": [target]}
    (folder / "1.json").write_text(json.dumps(body))
    assert json.loads(run.invoke(app, ["list", "--json"]).stdout) == [{"pid": os.getpid(), **target}]
    shown = run.invoke(app, ["list"]).stdout
    assert "model:fast" in shown
    assert "5 of 5 calls failed" in shown
    before = time.time()
    assert json.loads(run.invoke(app, ["reset", "all", "--json"]).stdout) == {"reset": "all"}
    assert next((folder / "reset").iterdir()).stat().st_mtime >= before - 0.001


def test_an_unknown_target_is_named_with_those_that_there_are(run: CliRunner) -> None:
    result = run.invoke(app, ["reset", "model:slow"])
    assert result.exit_code == 1
    assert result.stderr == (
        "not_found: no target 'model:slow' in a running process; known: none, as no breaker has opened\n"
    )
