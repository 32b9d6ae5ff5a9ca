"""The audit log: what a line says, rotation, several writers, and a disk that takes no more."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.correlation import correlated
from core.events import Event, EventBus, record
from core.events.bus import AuditLog
from core.health import HealthState


@dataclass(frozen=True, slots=True)
class Moved(Event):
    key: str
    status: str = ""


def log(folder: Path, *, max_bytes: int = 1_000_000, files: int = 3) -> AuditLog:
    return AuditLog(folder, max_bytes=max_bytes, files=files)


def lines(folder: Path, name: str = "audit.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def keys(folder: Path) -> dict[str, list[str]]:
    return {p.name: [entry["details"]["key"] for entry in lines(folder, p.name)] for p in audit_files(folder)}


def audit_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("audit.jsonl*"))


async def test_every_event_becomes_a_line_that_says_who_what_which_and_how(tmp_path: Path) -> None:
    async with EventBus() as bus:
        log(tmp_path / "logs").subscribe_to(bus)
        with correlated(user="ada", run_id="r1", thread_id="t1", request_id="q1"):
            bus.publish(Moved("f_1", status="denied", at=0.0))
        bus.publish(Moved("f_2"))
    first, second = lines(tmp_path / "logs")
    assert first == {
        "at": "1970-01-01T00:00:00+00:00",
        "who": "ada",
        "what": "Moved",
        "outcome": "denied",
        "request_id": "q1",
        "run_id": "r1",
        "thread_id": "t1",
        "details": {"key": "f_1", "status": "denied"},
    }
    assert (second["who"], second["outcome"]) == ("", "done")
    assert "run_id" not in second


def test_only_the_service_may_read_it(tmp_path: Path) -> None:
    log(tmp_path).write(Moved("a"))
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_files_are_rotated_by_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    writer = log(tmp_path, max_bytes=250, files=3)
    for number in range(9):
        writer.write(Moved(str(number), at=0.0))
    assert keys(tmp_path) == {"audit.jsonl": ["8"], "audit.jsonl.1": ["6", "7"], "audit.jsonl.2": ["4", "5"]}


def test_one_file_alone_is_kept_where_one_is_wanted(tmp_path: Path) -> None:
    writer = log(tmp_path, max_bytes=120, files=1)
    for number in range(3):
        writer.write(Moved(str(number)))
    assert keys(tmp_path) == {"audit.jsonl": ["2"]}


def test_a_line_longer_than_a_file_is_still_written(tmp_path: Path) -> None:
    log(tmp_path, max_bytes=10).write(Moved("long"))
    assert keys(tmp_path) == {"audit.jsonl": ["long"]}


def test_a_line_cut_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_text('{"what": "Mov', encoding="utf-8")
    log(tmp_path).write(Moved("after"))
    cut, whole = (tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert cut == '{"what": "Mov'
    assert json.loads(whole)["details"] == {"key": "after", "status": ""}


def _write_many(folder: Path, writer: str) -> None:
    audit = log(folder, max_bytes=2000, files=100)
    for number in range(50):
        audit.write(Moved(f"{writer}-{number}"))


def test_processes_that_write_and_rotate_together_lose_nothing(tmp_path: Path) -> None:
    fresh = multiprocessing.get_context("spawn")
    processes = [fresh.Process(target=_write_many, args=(tmp_path, f"p{n}")) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    written = [key for found in keys(tmp_path).values() for key in found]
    assert sorted(written) == sorted(f"p{n}-{i}" for n in range(2) for i in range(50))
    assert len(audit_files(tmp_path)) > 3


@pytest.mark.parametrize("fault", ["full", "no folder"])
async def test_a_disk_that_takes_no_more_hurts_nobody_and_shows_in_the_health(
    fault: str, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    if fault == "full":
        folder.mkdir()
        (folder / "audit.jsonl").symlink_to("/dev/full")
    else:
        folder.write_text("a file where the folder should be", encoding="utf-8")
    async with EventBus() as bus:
        log(folder).subscribe_to(bus)
        with record(bus, Moved) as seen:
            bus.publish(Moved("a"))
            await seen.wait_for(Moved)
    health = await bus.check()
    assert health.state is HealthState.DEGRADED
    reason = {"full": "OSError: No space left on device", "no folder": "FileExistsError: File exists"}[fault]
    assert health.reason == f"subscriber 'audit' fails: {reason}"
    assert str(tmp_path) not in health.reason
    [status] = [status for status in bus.status() if status.name == "audit"]
    assert (status.failed, status.handled) == (1, 0)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_that_fits_only_in_part_leaves_nothing_behind(tmp_path: Path) -> None:
    audit = log(tmp_path)
    audit.write(Moved("whole"))
    size = os.path.getsize(tmp_path / "audit.jsonl")
    with files_up_to(size + 20), pytest.raises(OSError, match="No space left"):
        audit.write(Moved("half"))
    audit.write(Moved("after"))
    assert keys(tmp_path) == {"audit.jsonl": ["whole", "after"]}


async def test_events_of_many_threads_are_whole_lines(tmp_path: Path) -> None:
    async with EventBus() as bus:
        log(tmp_path).subscribe_to(bus)
        threads = [threading.Thread(target=bus.publish, args=(Moved(str(n)),)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(entry["details"]["key"] for entry in lines(tmp_path)) == sorted(map(str, range(20)))
