"""The wheel works by itself: built, installed outside of the checkout, and used from an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from waystation.testing.agents import BUNDLED
from waystation.testing.service import free_port

ROOT = Path(__file__).parents[2]
PARTS = ("core", "graph", "nodes", "server", "tools", "waystation", "docs", "config", "notebooks")
# An environment of everything, on a busy machine.
SECONDS = 600.0
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")

# Vectors of the handbook take a core for seconds, in each home.
_QUICK = {"WAYSTATION_RAG__SEARCH": "words"}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with the wheel and what it depends on, and nothing of the checkout."""

    bin: Path
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.folder), **_QUICK}

    def run(
        self, *words: str, code: int = 0, folder: Path | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """What a command prints, in a process of its own in an empty folder."""
        done = subprocess.run(
            (self.bin / words[0], *words[1:]),
            cwd=folder or self.folder,
            env=env or self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def json(self, *words: str, folder: Path | None = None) -> Any:
        return json.loads(self.run("waystation", *words, "--json", folder=folder))


def build(folder: Path) -> Path:
    """The wheel of this checkout, from a copy: building leaves traces beside the source."""
    source = folder / "source"
    for name in PARTS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "setup.py", ROOT / "LICENSE"]:
        shutil.copy(path, source)
    command = (*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source)
    subprocess.run(command, check=True, timeout=SECONDS)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("a wheel")
    place = folder / "venv"
    venv.create(place, with_pip=False)
    pip = (*PIP, "--python", place, "install", "--no-deps", "--no-index", build(folder))
    subprocess.run(pip, check=True, timeout=SECONDS)
    (site,) = place.glob("lib/python*/site-packages")
    # What it depends on is installed already; a checkout that is installed there is not among it.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = folder / "empty"
    empty.mkdir()
    return Machine(place / "bin", empty)


@contextmanager
def serving_at(bin_folder: Path, env: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The address of a service of that environment, started in the folder."""
    command = (bin_folder / "waystation", "serve", "--port", str(free_port()))
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("Waystation is ready at "), said
        yield said.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def test_it_says_what_it_is_and_uses_nothing_of_the_checkout(machine: Machine) -> None:
    said = machine.json("--version")
    assert said["installed"] == "wheel"
    assert Path(said["folder"]).is_relative_to(machine.bin.parent)
    code = "import core, graph, nodes, server, tools, waystation, sys; print(*sys.path, core.__file__)"
    assert str(ROOT / "core") not in machine.run("python", "-c", code)


def test_the_demo_uses_the_tools_and_the_handbook_that_it_carries(machine: Machine) -> None:
    # As it comes: it finds by meaning too.
    as_it_comes = {name: value for name, value in machine.env.items() if name not in _QUICK}
    said = machine.run("waystation", "demo", env=as_it_comes)
    assert "5 + 3 = 8" in said
    assert "(handbook): “To add a tool of your own" in said
    answer = machine.json("ask", "What is 6 * 7?")
    assert [(call["server"], call["status"]) for call in answer["tool_calls"]] == [("calculator", "ok")]
    assert machine.json("check")["ready"] is True


def test_a_module_s_own_command_runs(machine: Machine) -> None:
    tools = json.loads(machine.run("python", "-m", "nodes.mcp_tools.cli", "list-tools", "--json"))
    assert {tool["server"] for tool in tools} == BUNDLED


def test_the_service_answers(machine: Machine) -> None:
    with serving_at(machine.bin, machine.env, machine.folder) as url:
        reply = httpx.post(f"{url}/agent/invoke", json={"input": {"message": "What is 6 * 7?"}}, timeout=60)
        assert "42" in reply.json()["output"]["answer"]
        assert httpx.get(f"{url}/docs", timeout=60).status_code == 200


def test_what_init_writes_is_used_from_then_on(machine: Machine) -> None:
    machine.json("init", "mine")
    folder = machine.folder / "mine"
    assert machine.run("waystation", "config", "validate", folder=folder).startswith(
        "The configuration is valid"
    )
    said = machine.run("waystation", "mcp", "call-tool", "dice", "roll", '{"sides": 1}', folder=folder)
    assert said.strip() == "1"


def test_a_module_of_somebody_else_is_tested_with_the_kit(machine: Machine) -> None:
    sample = machine.folder / "greeter"
    shutil.copytree(ROOT / "tests" / "sample-module", sample, ignore=shutil.ignore_patterns("__pycache__"))
    options = ("-q", "-p", "no:cacheprovider", "-o", "anyio_mode=auto", "-p", "waystation.testing.fixtures")
    assert " passed" in machine.run("python", "-m", "pytest", *options, "tests", folder=sample)
