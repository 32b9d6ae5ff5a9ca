"""A forked program cannot tell itself from one that was started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waystation.testing.service import ROOT

pytestmark = pytest.mark.slow

TOLD = (sys.executable, "-m", "tests.kit.start_told")


def is_forked(pid: int) -> bool:
    """True for a process of which the system tells another command."""
    return b"program_forks" in Path(f"/proc/{pid}/cmdline").read_bytes()


def told(*words: str, **options: Any) -> tuple[bool, int, dict[str, Any], str]:
    """Whether it was forked, its exit code, what it found, what else it said."""
    pipe = subprocess.PIPE
    # Given: libraries in C have put more into the environment than Python knows of.
    given = {"env": dict(os.environ), **options, "stdin": pipe, "stdout": pipe, "stderr": pipe}
    with subprocess.Popen([*TOLD, *words], cwd=ROOT, text=True, **given) as process:
        forked = is_forked(process.pid)
        out, beside = process.communicate("what comes in", timeout=60)
    return forked, process.returncode, json.loads(out), beside


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"umask": 0o027},
        {"start_new_session": True},
        {"process_group": 0},
        {"env": {**os.environ, "WAYSTATION_HOME": "/x", "OPENAI_API_KEY": "é"}},
        {"env": {**os.environ, "PYTHONPATH": "/somewhere:there"}},
        {"env": {**os.environ, "KMP_DUPLICATE_LIB_OK": "True"}},
    ],
    ids=["plain", "umask", "session", "group", "environment", "path", "of a library"],
)
def test_it_finds_what_a_started_one_finds(
    options: dict[str, Any], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    forked = told("7", "8", **options)
    request.getfixturevalue("started_anew")
    started = told("7", "8", **options)
    assert (forked[0], started[0]) == (True, False)
    _, forked_code, forked_finds, forked_says = forked
    _, code, finds, says = started
    assert (forked_code, forked_says) == (code, says)
    assert {what: found for what, found in forked_finds.items() if found != finds[what]} == {}


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ignores_what_is_ignored_where_it_is_started(
    number: signal.Signals, handler: Any, request: pytest.FixtureRequest
) -> None:
    before = signal.signal(number, handler)
    try:
        forked = told("7")
        request.getfixturevalue("started_anew")
        started = told("7")
    finally:
        signal.signal(number, before)
    assert (forked[0], started[0]) == (True, False)
    assert forked[2]["handlers"] == started[2]["handlers"]


def test_its_end_is_its_own() -> None:
    assert told("7")[1] == 7
    _, code, _, beside = told("fail")
    assert code == 1
    assert "ValueError: as told" in beside


@pytest.fixture
def not_ignored() -> Iterator[None]:
    """What a shell starts behind itself ignores SIGINT, and so does all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("not_ignored")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_signals_reach_it(number: signal.Signals) -> None:
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen([*TOLD, "wait"], cwd=ROOT, stdin=quiet, stdout=pipe, stderr=quiet) as process:
        assert process.stdout
        process.stdout.readline()
        forked = is_forked(process.pid)
        process.send_signal(number)
        assert process.wait(timeout=60) == -number
    assert forked


async def test_an_event_loop_waits_for_it_as_for_any_child() -> None:
    process = await asyncio.create_subprocess_exec(
        *TOLD, "9", cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert await asyncio.wait_for(process.wait(), 60) == 9


@pytest.mark.parametrize(
    "options",
    [
        {"env": {**os.environ, "TERM": "another"}},
        {"env": {**os.environ, "PYTHONDEVMODE": "1"}},
        {"cwd": "/", "env": {**os.environ, "PYTHONPATH": str(ROOT)}},
        {"pass_fds": (0,)},
    ],
    ids=["environment of imports", "environment of the interpreter", "folder", "open files"],
)
def test_what_a_fork_could_not_be_true_to_is_started(options: dict[str, Any]) -> None:
    quiet = subprocess.DEVNULL
    given = {"cwd": ROOT, "stdin": quiet, "stdout": quiet, "stderr": quiet, **options}
    with subprocess.Popen([*TOLD, "0"], **given) as process:
        assert not is_forked(process.pid)
    assert process.returncode == 0
