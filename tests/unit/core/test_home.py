"""Who gets into the folder of a service's data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.health import HealthState
from core.home import home_health, is_open, make_home, make_private, private_files


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_g5_a_new_home_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    make_home(home)
    assert rights(home) == 0o700
    assert home_health(home).state is HealthState.HEALTHY


def test_g5_an_old_home_keeps_its_rights_and_is_told_of_with_the_remedy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    make_home(home)
    assert rights(home) == 0o755
    told = home_health(home)
    assert told.state is HealthState.DEGRADED
    assert "chmod -R go= " in told.reason
    assert str(tmp_path) not in told.reason


def test_a_home_that_is_not_there_yet_is_not_open(tmp_path: Path) -> None:
    assert not is_open(tmp_path / "none")


def test_g5_a_file_made_ahead_is_private_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    old.write_text("kept")
    make_private(new)
    make_private(old)
    make_private(tmp_path / "none" / "x.db")
    assert rights(new) == 0o600
    assert (rights(old), old.read_text()) == (0o644, "kept")


def test_g5_what_a_command_makes_is_private_and_afterwards_all_is_as_before(tmp_path: Path) -> None:
    with private_files():
        (tmp_path / "a").write_text("")
        (tmp_path / "b").mkdir()
    (tmp_path / "c").write_text("")
    assert [rights(tmp_path / name) for name in "abc"] == [0o600, 0o700, 0o644]
