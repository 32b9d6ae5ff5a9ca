"""A backup of a service that serves, put back: nothing that was acknowledged before is missing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.service import ROOT, Service, environment, run

pytestmark = pytest.mark.slow

BEFORE = 12
PATIENCE_S = 6 * A_BUSY_MACHINE_S


@dataclass
class Talkers:
    """Who talk and upload without a pause; `acknowledged` are (thread, message, file) that were answered."""

    url: str
    acknowledged: list[tuple[str, str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    enough: threading.Event = field(default_factory=threading.Event)

    def talk(self, name: str) -> None:
        with httpx.Client(base_url=self.url, timeout=PATIENCE_S) as http:
            number = 0
            while not self.over.is_set():
                number += 1
                message = f"{name} says {number}"
                key = http.post("/files", files={"file": (f"{name}.txt", message.encode())}).json()["key"]
                body = {
                    "input": {"message": message, "files": [key]},
                    "config": {"configurable": {"thread_id": name}},
                }
                answer = http.post("/agent/invoke", json=body)
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                    break
                self.acknowledged.append((name, message, key))
                if len(self.acknowledged) >= BEFORE:
                    self.enough.set()
        self.enough.set()


@contextmanager
def talking(url: str) -> Iterator[Talkers]:
    talkers = Talkers(url)
    threads = [threading.Thread(target=talkers.talk, args=[name]) for name in ("ada", "bob", "cyd")]
    for thread in threads:
        thread.start()
    try:
        yield talkers
    finally:
        talkers.over.set()
        for thread in threads:
            thread.join()


def transcript(http: httpx.Client, thread: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    before: dict[str, int] = {}
    while True:
        page = http.get(f"/threads/{thread}/transcript", params={"limit": 200, **before}).json()
        messages = page["messages"] + messages
        if page["before"] is None:
            return messages
        before = {"before": page["before"]}


def test_every_acknowledged_turn_is_in_a_backup_that_was_made_meanwhile(tmp_path: Path) -> None:
    home, backup, new = tmp_path / "home", tmp_path / "backup", tmp_path / "new"
    with Service(home) as service:
        with talking(service.url) as talkers:
            assert talkers.enough.wait(PATIENCE_S)
            before = list(talkers.acknowledged)
            made = run("backup", str(backup), "--json", home=home)
            assert made.returncode == 0, made.stderr
            kill_in_the_middle(home, "backup", str(tmp_path / "second"))
            assert not (tmp_path / "second").exists()
        assert not talkers.failures
        with httpx.Client(base_url=service.url) as http:
            said = {name: transcript(http, name) for name in ("ada", "bob", "cyd")}
    kill_in_the_middle(new, "restore", str(backup))
    assert not new.exists()
    done = run("restore", str(backup), home=new)
    assert done.returncode == 0, done.stderr
    assert run("check", home=new).returncode == 0
    with Service(new) as service, httpx.Client(base_url=service.url, timeout=PATIENCE_S) as http:
        for name, messages in said.items():
            found = transcript(http, name)
            kept = {message["text"] for message in found}
            assert kept >= {message for who, message, _ in before if who == name}
            # A turn that was going is ended, or finished once more; all before it is as it was.
            whole = len([message for message in found if message["run_id"] == found[-1]["run_id"]])
            assert found[:-whole] == messages[: len(found) - whole]
        for _, message, key in before:
            assert http.get(f"/files/{key}/content").text == message
        for info in http.get("/files?limit=200").json():
            assert http.get(f"/files/{info['key']}/content").status_code == 200


def kill_in_the_middle(home: Path, *words: str) -> None:
    """The command, killed when it has written everything."""
    command = [sys.executable, "-m", "tests.kit.dying", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
