"""SIGTERM in the midst of work: what is short ends, what is long says so, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from waystation.testing.mcp_servers import is_running
from waystation.testing.model_server import ModelServer, say
from waystation.testing.service import Service

DRAIN_S = 4.0
# Stopping at a checkpoint, closing connections and modules, on a machine that has other things to do.
A_LITTLE_S = 12.0
WAIT_S = 60.0


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def service(tmp_path: Path, model: ModelServer) -> Iterator[Service]:
    model.reset()
    env = {
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "test",
        "WAYSTATION_SERVER__DRAIN_SECONDS": str(DRAIN_S),
    }
    service = Service(tmp_path / "home", env=env)
    service.start()
    yield service
    service.kill()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def streamed(url: str, message: str, thread: str) -> list[dict[str, Any]]:
    """Every event of a turn that is read to its end."""
    body = {"input": {"message": message}, "config": {"configurable": {"thread_id": thread}}}
    answer = httpx.post(f"{url}/agent/stream", json=body, timeout=WAIT_S)
    assert answer.text.endswith("event: end\n\n"), answer.text[-200:]
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def invoked(url: str, message: str, thread: str) -> dict[str, Any]:
    body = {"input": {"message": message}, "config": {"configurable": {"thread_id": thread}}}
    answer = httpx.post(f"{url}/agent/invoke", json=body, timeout=WAIT_S)
    assert answer.status_code == 200, answer.text
    output: dict[str, Any] = answer.json()["output"]
    return output


def begun(url: str, message: str, thread: str) -> str:
    """A background run."""
    answer = httpx.post(f"{url}/threads/{thread}/runs", json={"input": {"message": message}}, timeout=WAIT_S)
    return str(answer.raise_for_status().json()["run_id"])


def run_of(url: str, run_id: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/runs/{run_id}/wait", params={"timeout": 50}, timeout=WAIT_S)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / "waystation.db")) as db:
        return db.execute(query).fetchall()


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition held."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if condition():
            return time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s")


def not_ready(url: str) -> bool:
    return httpx.get(f"{url}/health/ready", timeout=5).status_code == 503


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.always
def test_a_service_that_is_told_to_stop_ends_what_is_short_and_says_so_to_the_rest(
    service: Service, model: ModelServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    url, home = service.url, tmp_path / "home"
    invoked(url, "What is 5 + 3?", "warm")
    model.script(say("half an answer", hang_after=2), match="long")
    model.script(say("half a report", hang_after=2), match="background")
    model.script(say("this one takes a second or so to say"), match="short")
    long: Future[Any] = callers.submit(streamed, url, "long", "interactive")
    report = begun(url, "background", "report")
    model.wait_for_active(2)
    followed: Future[Any] = callers.submit(
        lambda: httpx.get(f"{url}/runs/{report}/events", timeout=WAIT_S).text
    )
    model.configure(delay=0.15)
    short: Future[Any] = callers.submit(streamed, url, "short", "quick")
    model.wait_for_active(3)
    queued = httpx.post(
        f"{url}/threads/report/runs", json={"input": {"message": "and more"}, "on_busy": "enqueue"}
    ).json()["run_id"]
    children = children_of(service.pid)
    pid, began = service.pid, time.monotonic()

    os.kill(pid, signal.SIGTERM)
    until(lambda: not_ready(url), DRAIN_S)
    refused = httpx.post(f"{url}/agent/invoke", json={"input": {"message": "late"}}, timeout=WAIT_S)
    assert (refused.status_code, refused.json()["code"]) == (503, "draining")
    assert refused.headers["retry-after"]
    assert short.result(WAIT_S)[-1]["status"] == "done"
    last = long.result(WAIT_S)[-1]
    assert (last["type"], last["status"], last["answer"]) == ("done", "interrupted", "half an ")
    assert time.monotonic() - began < DRAIN_S + A_LITTLE_S / 2

    until(lambda: not is_running(pid), DRAIN_S + A_LITTLE_S)
    assert time.monotonic() - began < DRAIN_S + A_LITTLE_S
    assert service.stop() == 0
    assert not [child for child in children if is_running(child)]
    assert "Traceback" not in service.log.read_text()
    assert followed.result(WAIT_S).endswith("event: end\n\n")
    assert rows(home, "SELECT count(*) FROM runs WHERE status = 'running'") == [(0,)]
    assert rows(home, "SELECT count(*) FROM threads WHERE run_id IS NOT NULL") == [(0,)]
    waiting = rows(home, "SELECT id, reason FROM runs WHERE status = 'queued' AND attempts > 0")
    assert waiting == [(report, "drained")]

    model.reset()
    service.start()
    assert invoked(url, "still there?", "interactive")["status"] == "done"
    gone_on = run_of(url, report)
    assert (gone_on["status"], gone_on["attempts"]) == ("done", 2)
    assert run_of(url, queued)["status"] == "done"
    page = httpx.get(f"{url}/threads/report/transcript", timeout=WAIT_S).json()
    assert [m["text"] for m in page["messages"] if m["role"] == "user"] == ["background", "and more"]
    page = httpx.get(f"{url}/threads/interactive/transcript", timeout=WAIT_S).json()
    assert [(m["role"], m["text"]) for m in page["messages"]] == [
        ("user", "long"),
        ("assistant", "half an "),
        ("user", "still there?"),
        ("assistant", "Scripted reply."),
    ]
