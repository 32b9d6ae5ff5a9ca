from __future__ import annotations

import asyncio
import errno
import json
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import structlog

from core.correlation import correlated
from core.observability import configure_logging, extracted, never_log, quiet_logging, reset_logging

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def fail(error: Exception) -> NoReturn:
    raise error


def test_logs_are_one_json_object_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info")
    structlog.get_logger().debug("hidden")
    structlog.get_logger().warning("server died", server="clock")
    (line,) = lines(capsys)
    assert (line["event"], line["server"], line["level"]) == ("server died", "clock", "warning")


def test_logs_for_people_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="debug", as_json=False)
    structlog.get_logger().debug("looking", api_key="abc123")
    try:
        fail(ValueError("password=hunter22"))
    except ValueError:
        structlog.get_logger().exception("failed")
    text = capsys.readouterr().err
    assert "looking" in text
    assert "ValueError: password=***" in text
    assert "abc123" not in text


def test_a_line_names_what_it_belongs_to_and_never_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    with (
        correlated(request_id="q1", run_id="r1", thread_id="t1", user="ada"),
        extracted({"traceparent": PARENT}),
    ):
        structlog.get_logger().info("ours")
        logging.getLogger("uvicorn").warning("theirs")
    structlog.get_logger().info("after")
    ours, theirs, after = lines(capsys)
    for line in (ours, theirs):
        assert (line["request_id"], line["run_id"], line["thread_id"]) == ("q1", "r1", "t1")
        assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
        assert "ada" not in line.values()
    assert after.keys() == {"event", "level", "timestamp"}


async def test_lines_of_tasks_carry_the_ids_of_where_they_were_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging()

    async def work() -> None:
        structlog.get_logger().info("working")

    with correlated(run_id="r1"):
        first = asyncio.create_task(work())
    with correlated(run_id="r2"):
        second = asyncio.create_task(work())
    await asyncio.gather(first, second)
    assert [line["run_id"] for line in lines(capsys)] == ["r1", "r2"]


@pytest.mark.parametrize("name", ["uvicorn.error", "redis", "sqlalchemy.engine", "mcp.client", "httpx"])
def test_what_libraries_log_takes_the_same_way(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    log = logging.getLogger(name)
    log.info("GET /health")
    log.warning("connect to %s failed", "redis://:hunter22@cache/0")
    (line,) = lines(capsys)
    assert line["event"] == "connect to redis://:***@cache/0 failed"
    assert (line["level"], line["logger"]) == ("warning", name)
    assert "timestamp" in line


def test_secrets_in_an_exception_are_hidden_ours_and_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    never_log("very-private-value")
    try:
        fail(ConnectionError("postgresql://way:hunter22@db refused very-private-value"))
    except ConnectionError:
        structlog.get_logger().exception("ours", headers={"Authorization": "Bearer abcdefgh"})
        logging.getLogger("asyncio").exception("theirs")
    ours, theirs = lines(capsys)
    for line in (ours, theirs):
        assert "postgresql://way:***@db refused ***" in line["exception"]
        assert "Traceback" in line["exception"]
    assert ours["headers"] == {"Authorization": "***"}


def test_at_debug_libraries_tell_a_little_more(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="debug")
    logging.getLogger("httpx").info("HTTP Request: GET http://h/x?api_key=abc123")
    logging.getLogger("httpcore").debug("bytes")
    (line,) = lines(capsys)
    assert line["event"] == "HTTP Request: GET http://h/x?api_key=***"


def test_at_error_libraries_are_as_quiet_as_we_are(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="error")
    logging.getLogger("mcp").warning("hm")
    assert lines(capsys) == []


def test_warnings_of_python_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", UserWarning, stacklevel=1)
    (line,) = lines(capsys)
    assert "old way" in line["event"]
    assert line["logger"] == "py.warnings"


def test_configuring_again_replaces_and_writes_to_the_stderr_of_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging()
    configure_logging(as_json=True)
    logging.getLogger("mcp").warning("once")
    assert len(lines(capsys)) == 1


def test_after_a_reset_python_logs_as_it_always_does() -> None:
    handlers = list(logging.getLogger().handlers)
    configure_logging()
    reset_logging()
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger().level == logging.WARNING
    assert not structlog.is_configured()
    assert sys.stderr


def test_a_process_without_logs_of_its_own_gets_warnings_without_secrets_and_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    quiet_logging()
    secret = "hunter" + "22"
    structlog.get_logger().info("not shown")
    try:
        fail(ValueError(f"password={secret}"))
    except ValueError:
        structlog.get_logger().exception("failed")
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "not shown" not in seen.err
    assert "ValueError: password=***" in seen.err
    assert secret not in seen.err


def test_logs_that_are_configured_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info")
    quiet_logging()
    structlog.get_logger().info("shown")
    assert [line["event"] for line in lines(capsys)] == ["shown"]


@pytest.mark.parametrize("configure", [configure_logging, quiet_logging])
def test_g2_2_a_line_that_cannot_be_written_breaks_nothing(
    configure: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a log on a disk that is full."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    reset_logging()
    monkeypatch.setattr(sys.stderr, "write", refuse)
    monkeypatch.setattr(sys.stderr, "flush", refuse)
    configure()
    structlog.get_logger().error("request_failed")
    logging.getLogger("library").error("something")
