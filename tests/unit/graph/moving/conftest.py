"""What tests of copies and backups share."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graph.moving.backup import BackupSource, back_up
from tests.unit.graph.moving.kit import fill_home, kept_at, make_source


@pytest.fixture
def small_disk() -> Iterator[Callable[[], None]]:
    """Called, it lets no file grow beyond 200 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    make_source(folder)
    shutil.rmtree(folder / "config")
    fill_home(folder)
    return folder


@pytest.fixture
def kept(kept_home: Path) -> BackupSource:
    return kept_at(kept_home)


@pytest.fixture(scope="module")
def made(kept_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that nobody changes."""
    target = tmp_path_factory.mktemp("made") / "backup"
    back_up(kept_at(kept_home), target)
    return target


@pytest.fixture
def backup(made: Path, tmp_path: Path) -> Path:
    """One that the test may change."""
    return Path(shutil.copytree(made, tmp_path / "backup"))
