"""`waystation backup` and `waystation restore`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.cli.main import app
from tests.unit.graph.moving.kit import fill_home, make_source


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home and a configuration."""
    folder = tmp_path_factory.mktemp("place")
    make_source(folder)
    fill_home(folder)
    for path in (folder / "config").iterdir():
        path.unlink()
    (folder / "config" / "waystation.yaml").write_text("limits: {steps: 7}\n")
    return folder


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAYSTATION_HOME", str(place / "home"))
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(place / "config"))
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def moved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine, with nothing on it."""
    monkeypatch.setenv("WAYSTATION_HOME", str(folder / "new"))
    monkeypatch.delenv("WAYSTATION_CONFIG_DIR")
    monkeypatch.chdir(folder)
    return folder / "new"


def test_a_backup_says_what_it_holds_and_lacks_and_comes_back(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call("backup", str(here / "backup"))
    assert done.exit_code == 0, done.output
    assert "left_out: secrets: not asked for with --with-secrets" in done.stdout
    checked = call("restore", str(here / "backup"), "--check", "--json")
    assert json.loads(checked.stdout)["files"] > 3
    new = moved(here, monkeypatch)
    assert "the configuration was put back" in call("restore", str(here / "backup")).stdout
    assert (new / "waystation.db").is_file()
    assert (here / "config" / "waystation.yaml").read_text() == "limits: {steps: 7}\n"


def test_secrets_are_said_aloud(here: Path) -> None:
    done = call("backup", str(here / "backup"), "--with-secrets", "--json")
    assert json.loads(done.stdout)["left_out"] == {}
    assert "the backup holds SECRETS as plain text" in done.stderr


def test_a_bucket_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_FILE_STORAGE__BACKEND", "s3")
    monkeypatch.setenv("WAYSTATION_FILE_STORAGE__S3__BUCKET", "chats")
    done = call("backup", str(here / "backup"))
    assert done.exit_code == 0, done.output
    assert "files are in the bucket 'chats' and NOT in the backup" in done.stderr


def test_the_database_goes_where_it_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("backup", str(here / "backup"))
    new = moved(here, monkeypatch)
    done = call("restore", str(here / "backup"), "--database", f"sqlite:///{here / 'other.db'}")
    assert done.exit_code == 0, done.output
    assert (here / "other.db").is_file()
    assert not (new / "waystation.db").exists()


def test_a_refusal_is_one_line(here: Path) -> None:
    done = call("restore", str(here))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("conflict: WAYSTATION_HOME is not empty: move it away")
