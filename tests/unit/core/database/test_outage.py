"""What the errors of drivers, pools and disks say of a database, and what they must not be taken for."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import psycopg
import pytest
import structlog
from psycopg import errors
from psycopg_pool import PoolTimeout
from sqlalchemy import exc
from sqlalchemy.engine import make_url

from core.database.engine import create_engine
from core.database.opening import opening_error
from core.database.outage import DatabaseUnavailable, log_failure, outage, outages_told, storage_outage
from core.errors import ConfigInvalid, StorageUnavailable


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("text that says nothing")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (sqlite3.SQLITE_BUSY, "locked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked"),
        (sqlite3.SQLITE_LOCKED, "locked"),
        (sqlite3.SQLITE_FULL, "disk is full"),
        (sqlite3.SQLITE_IOERR_WRITE, "disk fails"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "read-only"),
        (sqlite3.SQLITE_NOTADB, "no SQLite database"),
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be opened"),
    ],
)
def test_g2_2_what_sqlite_says_of_its_file_is_an_outage(code: int, reason: str) -> None:
    for error in (of_sqlite(code), exc.OperationalError("SELECT 1", {}, of_sqlite(code))):
        found = outage(error)
        assert found is not None
        assert reason in found.detail
        assert (found.code, found.retryable, found.retry_after) == ("storage_unavailable", True, 2.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.AdminShutdown(), "shutting down"),
        (errors.CrashShutdown(), "shutting down"),
        (errors.CannotConnectNow(), "starting or stopping"),
        (errors.TooManyConnections(), "too many connections"),
        (errors.ReadOnlySqlTransaction(), "standby"),
        (errors.DiskFull(), "disk is full"),
        (errors.OutOfMemory(), "no room left"),
        (errors.IoError(), "disk fails"),
        (errors.QueryCanceled(), "took too long"),
        (errors.LockNotAvailable(), "locked"),
        (errors.SerializationFailure(), "two writers"),
        (errors.IdleInTransactionSessionTimeout(), "took too long"),
        (errors.ConnectionFailure(), "does not answer"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), "does not answer"),
        (PoolTimeout("couldn't get a connection"), "does not answer"),
        (exc.TimeoutError("QueuePool limit"), "no connection free"),
    ],
)
def test_g2_2_what_postgresql_says_of_itself_is_an_outage(error: Exception, reason: str) -> None:
    found = outage(error)
    assert found is not None
    assert reason in found.reason


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("no such table: runs"),
        sqlite3.ProgrammingError("Cannot operate on a closed database."),
        errors.UniqueViolation(),
        errors.UndefinedTable(),
        errors.SyntaxError(),
        psycopg.DataError("NUL"),
        exc.InvalidRequestError("a fault of ours"),
        ValueError("a fault of ours"),
        TimeoutError(),
    ],
)
def test_a_fault_of_ours_is_no_outage(error: Exception) -> None:
    assert outage(error) is None
    assert storage_outage(error) is None


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EFBIG, "limit"),
        (errno.EACCES, "may not be written"),
        (errno.EIO, "fails"),
    ],
)
def test_g2_2_what_a_disk_refuses_is_told_at_every_edge_without_its_path(number: int, reason: str) -> None:
    refused = OSError(number, "said by the system", "/somewhere/private.db")
    wrapped = RuntimeError("something failed")
    wrapped.__cause__ = ExceptionGroup("together", [ValueError(), refused])
    for error in (refused, wrapped):
        found = storage_outage(error)
        assert isinstance(found, StorageUnavailable)
        assert reason in found.detail
        assert "private" not in found.detail


def test_an_outage_found_once_stays_what_it_is() -> None:
    away = DatabaseUnavailable("is locked by another program")
    assert outage(away) is away
    assert storage_outage(away) is away
    with pytest.raises(DatabaseUnavailable) as caught, outages_told():
        raise away
    assert caught.value is away


def test_an_outage_is_one_line_in_the_log_and_a_fault_of_ours_has_its_stack() -> None:
    with structlog.testing.capture_logs() as lines:
        log_failure(structlog.get_logger(), "beat", of_sqlite(sqlite3.SQLITE_BUSY), run="r")
        log_failure(structlog.get_logger(), "beat", ValueError("x"))
    assert lines[0]["log_level"] == "warning"
    assert (lines[0]["run"], "exc_info" in lines[0]) == ("r", False)
    assert isinstance(lines[1]["exc_info"], ValueError)


SERVER = make_url("postgresql+psycopg://ada:hunter2@db.example:5433/notes")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('FATAL:  database "notes" does not exist', "db.example:5433 has no database 'notes'; create it"),
        ('FATAL:  role "ada" does not exist', "knows no role 'ada'"),
        ('FATAL:  password authentication failed for user "ada"', "refuses role 'ada'"),
        ("fe_sendauth: no password supplied", "mend its password in storage.url"),
        ('no pg_hba.conf entry for host "1.2.3.4"', "lets role 'ada' not into database 'notes'"),
        ("failed to resolve host 'db.example': [Errno -2]", "no such host"),
        ("connection failed: Connection refused", "refuses connections; start it"),
        ("FATAL:  the database system is starting up", "is starting or stopping"),
        ("FATAL:  sorry, too many clients already", "raise max_connections"),
        ("server does not support SSL, but SSL was required", "sslmode"),
        (
            "FATAL:  la base de données « notes » n'existe pas",
            "(database 'notes' as role 'ada') does not answer",
        ),
    ],
)
def test_g2_3_a_wrong_url_is_told_with_host_role_or_database_and_never_the_password(
    said: str, words: str
) -> None:
    found = opening_error(SERVER, psycopg.OperationalError(said))
    assert found is not None
    assert words in found.detail
    assert "hunter2" not in found.detail


def test_g2_3_an_option_that_postgresql_does_not_know_is_named() -> None:
    error = psycopg.ProgrammingError('invalid connection option "conect_timeout"')
    found = opening_error(SERVER, error)
    assert isinstance(found, ConfigInvalid)
    assert "'conect_timeout'" in found.detail


def test_g2_3_a_socket_or_several_hosts_are_named_as_they_are_written() -> None:
    silent = psycopg.OperationalError("no answer within 3 s")
    local = opening_error(make_url("postgresql+psycopg:///notes"), silent)
    several = opening_error(make_url("postgresql+psycopg:///notes?host=a&host=b"), silent)
    assert local is not None
    assert "at the local socket (database 'notes' as role 'of this user')" in local.detail
    assert several is not None
    assert "PostgreSQL at a, b " in several.detail


def test_a_fault_of_ours_at_the_opening_stays_one() -> None:
    assert opening_error(SERVER, ValueError("x")) is None


def test_g2_2_a_folder_that_may_not_be_written_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    url = make_url(f"sqlite:///{tmp_path / 'waystation.db'}")
    found = opening_error(url, of_sqlite(sqlite3.SQLITE_READONLY))
    assert found is not None
    assert found.detail == (
        "the database 'waystation.db' cannot be written by this user;"
        " mend the rights of its folder, or set WAYSTATION_HOME"
    )


@pytest.mark.parametrize(
    ("reason", "when"),
    [
        ("is locked by another program", "in a moment"),
        ("cannot be written: the disk is full", "when that is mended"),
        ("is damaged", "when that is mended"),
    ],
)
def test_nobody_is_told_to_wait_for_what_does_not_pass(reason: str, when: str) -> None:
    assert DatabaseUnavailable(reason).detail == f"the database {reason}; try again {when}"


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match=r"'w\.db' cannot be made: .*name another in storage\.url"):
        create_engine(make_url(f"sqlite+aiosqlite:///{tmp_path}/file/below/w.db"))
