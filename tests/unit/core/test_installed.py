"""What follows from how Waystation was installed."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from core import installed
from core.settings import Places

ROOT = Path(__file__).parents[3]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As after the installation of a wheel; gives the folder of what it carries."""
    carried = tmp_path / "site-packages" / "waystation" / "shipped"
    (carried / "config").mkdir(parents=True)
    monkeypatch.setattr(installed, "CARRIED", carried)
    return carried


def script(folder: Path) -> Path:
    path = folder / "bin" / "waystation"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_in_a_checkout_what_ships_stands_at_its_root() -> None:
    assert not installed.from_wheel()
    assert installed.shipped() == ROOT
    assert installed.shipped_path("waystation:docs/*.md") == ROOT / "docs" / "*.md"
    assert installed.shipped_path("docs") is None


def test_a_wheel_carries_it_along(wheel: Path) -> None:
    assert installed.from_wheel()
    assert installed.shipped_path("waystation:README.md") == wheel / "README.md"


def test_an_extra_is_installed_as_the_rest_was(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.install_line("otel") == "pip install 'waystation[otel]'"
    monkeypatch.setattr(installed, "CARRIED", wheel / "not there")
    assert installed.install_line("otel") == ".venv/bin/pip install -e '.[otel]'"


def test_the_command_is_its_name_where_the_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = script(tmp_path / ".venv")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(ours.parent))
    assert installed.command() == "waystation"


def test_elsewhere_it_is_the_path_of_the_script_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = script(tmp_path / ".venv")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(script(tmp_path / "others").parent))
    monkeypatch.chdir(tmp_path)
    assert installed.command() == ".venv/bin/waystation"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert installed.command() == str(ours)
    assert installed.command(tmp_path) == ".venv/bin/waystation"


def test_a_path_with_a_space_can_be_pasted_into_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = script(tmp_path / "a folder" / ".venv")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "a folder" / ".venv"))
    monkeypatch.setenv("PATH", "")
    assert shlex.split(installed.command(tmp_path / "elsewhere")) == [str(ours)]
    assert shlex.split(installed.command(tmp_path)) == ["a folder/.venv/bin/waystation"]


def test_without_a_script_it_is_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/opt/python3")
    assert installed.command() == "/opt/python3 -m waystation"


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.installed_version()[0].isdigit()
    monkeypatch.setattr(installed, "version", _nobody)
    assert installed.installed_version() == "0.0.0"


def _nobody(name: str) -> str:
    raise PackageNotFoundError(name)


@pytest.mark.usefixtures("wheel")
def test_a_folder_without_configuration_has_the_example_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Places.from_environ({}).config_dir == installed.CARRIED / "config"
    (tmp_path / "config").mkdir()
    assert Places.from_environ({}).config_dir == tmp_path / "config"
    (tmp_path / "mine").mkdir()
    assert Places.from_environ({"WAYSTATION_CONFIG_DIR": "mine"}).config_dir == tmp_path / "mine"


def test_in_a_checkout_it_has_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Places.from_environ({}).config_dir == tmp_path / "config"
