"""A start on a database that cannot be used: one sentence for whoever runs the service, and no more."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from core.database.outage import DatabaseUnavailable
from core.errors import ConfigInvalid, WaystationError
from graph.checkpoints.saver import opened_saver
from graph.db.database import open_database
from waystation.testing.service import free_port, run

Spoilt = Callable[[Path], None]


def garbage(file: Path) -> None:
    file.write_text("this is no database " * 200)


def a_folder(file: Path) -> None:
    file.mkdir()


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        made.execute("INSERT INTO alembic_version VALUES ('9999')")
        made.commit()


def nothing(_: Path) -> None:
    """The file is only locked."""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            garbage,
            "storage_unavailable: the database 'waystation.db' is damaged: its file is no SQLite",
        ),
        (a_folder, "storage_unavailable: the database 'waystation.db' is a folder; move it away, "),
        (newer, "config_invalid: the database was written by a newer release of Waystation; "),
    ],
)
def test_g2_2_a_file_that_is_no_database_of_ours_is_one_sentence(
    tmp_path: Path, spoil: Spoilt, sentence: str
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    spoil(home / "waystation.db")
    for words in (["serve", "--port", "0"], ["threads", "list"]):
        done = run(*words, home=home)
        assert done.returncode == 1
        assert done.stderr.startswith(sentence), done.stderr
        assert done.stderr.count("\n") == 1


def test_g2_2_a_locked_file_at_the_start_is_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with locked(home / "waystation.db"):
        done = run("serve", "--port", "0", home=home)
    assert done.returncode == 1
    assert done.stderr == (
        "storage_unavailable: the database 'waystation.db' is locked by another program;"
        " end that program and start again\n"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"database": "nowhere"}, "has no database 'nowhere'; create it"),
        ({"username": "nobody"}, "knows no role 'nobody'; create it"),
        ({"port": 1}, "refuses connections; start it, or mend host and port"),
        ({"query": {"conect_timeout": "3"}}, "knows no option 'conect_timeout'"),
        ({"query": {"connect_timeout": "soon"}}, "'connect_timeout' has a value that it cannot have"),
        ({"query": {"sslmode": "never"}}, "'sslmode' has a value that it cannot have"),
    ],
)
async def test_g2_3_a_wrong_postgresql_url_is_told_by_engine_and_saver_alike(
    postgres_url: URL, change: dict[str, object], words: str
) -> None:
    wrong = postgres_url.set(password="hunter2").set(**change)  # type: ignore[arg-type]  # one part of a URL each
    with pytest.raises(WaystationError) as caught:
        await open_database(wrong)
    assert words in caught.value.detail
    assert "hunter2" not in repr(caught.value)
    with pytest.raises(WaystationError) as caught:
        async with opened_saver(wrong):
            pass
    assert "hunter2" not in repr(caught.value)
    assert isinstance(caught.value, DatabaseUnavailable | ConfigInvalid)


def test_g2_3_a_postgresql_that_is_not_there_is_one_line_without_the_password(tmp_path: Path) -> None:
    url = f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/notes"
    done = run("check", home=tmp_path / "home", env={"WAYSTATION_STORAGE__URL": url})
    assert done.returncode == 1
    assert "refuses connections; start it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


def test_g2_3_a_password_that_is_not_escaped_is_not_shown_as_a_host(tmp_path: Path) -> None:
    done = run(
        "check", home=tmp_path / "home", env={"WAYSTATION_STORAGE__URL": "postgresql://a:hun@ter2@h/n"}
    )
    assert "as %40" in done.stderr
    assert "ter2" not in done.stderr
