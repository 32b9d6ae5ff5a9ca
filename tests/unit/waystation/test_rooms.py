"""A foreign package under the name of one of ours is told, with both paths, before anything of it is run."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import waystation.__main__
from waystation import rooms
from waystation.testing.service import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SCRIPT = Path(sys.executable).with_name("waystation")
IMPORT = (sys.executable, "-c", "import waystation")
SHADOWS = ("core.py", "graph/__init__.py", "nodes/__init__.py", "server.py", "tools/__init__.py")


def foreign(folder: Path, name: str) -> Path:
    """A package or module of somebody else, which says so when run; gives the path that is told of it."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("raise SystemExit('a foreign module was run')\n")
    return file.parent if file.name == "__init__.py" else file


def run(command: Sequence[str | Path], folder: Path, *, path: Path | None = None) -> tuple[int, str]:
    """The exit code and stderr of a process in `folder`; Python looks in `path` too."""
    env = {**os.environ, "PYTHONPATH": str(path)} if path else {**os.environ}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", SHADOWS)
def test_importing_it_in_a_folder_with_such_a_name_says_so(tmp_path: Path, name: str) -> None:
    theirs = foreign(tmp_path, name)
    code, told = run(IMPORT, tmp_path)
    last = told.splitlines()[-1]
    room = name.partition("/")[0].removesuffix(".py")
    assert code == 1
    assert last.startswith(
        f"waystation.rooms.Shadowed: '{room}' is {theirs} here, which hides Waystation's own "
    )
    assert f"own {ROOT / room}: rename or move it" in last


@pytest.mark.parametrize("name", ["core.py", "graph/__init__.py"])
@pytest.mark.parametrize(
    "command",
    [
        (SCRIPT, "modules"),
        (SCRIPT, "serve", "--workers", "2", "--port", "0"),
        (sys.executable, "-m", "waystation"),
        (sys.executable, "-m", "nodes.config.cli", "validate"),
    ],
    ids=["command", "workers", "module", "part"],
)
def test_the_command_says_it_in_one_line_and_does_nothing(
    tmp_path: Path, name: str, command: tuple[str | Path, ...]
) -> None:
    theirs = foreign(tmp_path / "site", name)
    code, told = run(command, tmp_path, path=tmp_path / "site")
    assert code == 1
    assert told.startswith(f"shadowed: '{theirs.stem}' is {theirs} here")
    assert len(told.splitlines()) == 1


def test_the_command_does_not_mind_such_a_name_in_the_folder_that_it_is_called_in(tmp_path: Path) -> None:
    foreign(tmp_path, "core.py")
    code, told = run((SCRIPT, "config", "validate"), tmp_path)
    assert (code, told) == (0, "")


def test_nor_do_its_workers(tmp_path: Path) -> None:
    foreign(tmp_path, "core.py")
    foreign(tmp_path, "server/__init__.py")
    command = (SCRIPT, "serve", "--workers", "2", "--port", str(free_port()))
    env = {**os.environ, "WAYSTATION_HOME": str(tmp_path / "home"), "WAYSTATION_MCP__BUNDLED": "false"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Waystation is ready at http://127.0.0.1:")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_name_that_is_taken_in_this_process_already_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = types.ModuleType("graph")
    monkeypatch.setitem(sys.modules, "graph", mine)
    with pytest.raises(rooms.Shadowed, match=r"'graph' is .*a module made in this process here, which hides"):
        rooms.check()
    mine.__file__ = "/somewhere/graph.py"
    with pytest.raises(rooms.Shadowed, match=r"'graph' is /somewhere/graph.py here"):
        rooms.check()


def test_one_of_ours_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "ROOMS", ("core", "no_such_room"))
    with pytest.raises(
        rooms.Shadowed, match=r"does not find 'no_such_room' of Waystation, which is .*install it again"
    ):
        rooms.check()


def test_the_command_ends_with_a_line_where_it_would_be_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rooms, "ROOMS", ("no_such_room",))
    monkeypatch.setattr(sys, "argv", ["/bin/waystation", "check"])
    with pytest.raises(SystemExit, match="1"):
        rooms.check()
    assert capsys.readouterr().err.startswith("shadowed: Python does not find 'no_such_room'")


def test_the_script_and_the_module_are_one_program() -> None:
    (script,) = entry_points(group="console_scripts", name="waystation")
    assert script.load() is waystation.__main__.main
