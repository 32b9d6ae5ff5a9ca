"""A service that is there to be killed and started again, for campaigns."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.engine import URL

from tests.campaigns import traps
from waystation.testing.postgres import PostgresServer
from waystation.testing.service import ROOT, environment

PATIENCE_SECONDS = 60.0
TOLD_LETTERS = 1_500
# What faulthandler writes of the last thread, which is the one that has the signal.
STANDS = "Current thread 0x"
TOLD_SECONDS = 5.0
READY = "ready\n"
TOOL = Path(__file__).with_name("notes_tool.py")


# What is freed goes back to the system: the size of a service then says what it holds, not what it once held.
MEMORY_IS_GIVEN_BACK = {
    "MALLOC_MMAP_THRESHOLD_": "32768",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_ARENA_MAX": "2",
}


@contextmanager
def nursery(
    *around: str, tree: Path = ROOT, wait: bool = True, weighed: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """The process that services are forked from.

    Args:
        around: A command that becomes the one that is given to it, somewhere else.
        tree: Whose program it is.
        wait: Until it is ready; else the first service waits for it.
        weighed: What its services hold is measured. In tests it is then an interpreter that starts, no fork.
    """
    command = [*around, sys.executable, "-m", "tests.campaigns.nursery"]
    env = {**os.environ, **(MEMORY_IS_GIVEN_BACK if weighed else {})}
    process = subprocess.Popen(
        command, cwd=tree, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert not wait or process.stdout.readline() == READY, "the nursery did not start"
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=PATIENCE_SECONDS)
        process.stdout.close()


@dataclass
class Site:
    """Where a service lives: its folder, its database, and what its tools note.

    Args:
        storage: Its `storage.url`; "" is a database in its home.
        asks: There is a tool server too that somebody has to approve.
        settings: More of its environment.
    """

    folder: Path
    model_url: str
    storage: str = ""
    asks: bool = False
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.config = self.folder / "config"
        self.armed = self.folder / "armed"
        self.notes = self.folder / "notes"
        self.pids = self.folder / "pids"
        self.log = self.folder / "service.log"
        self.config.mkdir(parents=True, exist_ok=True)
        for file in (self.notes, self.pids):
            file.touch()
        command = [sys.executable, "-P", str(TOOL), str(self.notes), str(self.pids), str(self.armed)]
        servers: dict[str, Any] = {"notes": {"command": command}}
        if self.asks:
            servers["asked"] = {"command": command, "require_approval": ["*"]}
        (self.config / "mcp.json").write_text(json.dumps({"mcpServers": servers}))

    @property
    def database(self) -> URL | str:
        return self.storage or f"sqlite:///{self.home / 'waystation.db'}"

    def env(self) -> dict[str, str]:
        given = {
            "OPENAI_BASE_URL": self.model_url,
            "OPENAI_API_KEY": "test",
            "WAYSTATION_MCP__BUNDLED": "false",
            "WAYSTATION_MODULES__DISABLED": '["rag"]',
            "WAYSTATION_TELEMETRY__LOG_LEVEL": "warning",
            "WAYSTATION_LIMITS__STREAMS_PER_USER": "500",
            "WAYSTATION_LIMITS__QUEUED_RUNS": "50",
            "WAYSTATION_SERVER__DRAIN_SECONDS": "0.2",
            **({"WAYSTATION_STORAGE__URL": self.storage} if self.storage else {}),
            **self.settings,
        }
        return environment(self.home, config_dir=self.config, env=given)

    def faults(self) -> list[str]:
        """What the service logged as its own faults, with the end of each traceback."""
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("level") in ("error", "critical"):
                    found.append(f"{entry['event']}: {entry.get('exception', '')[-TOLD_LETTERS:]}")
        return found

    def noted(self) -> list[str]:
        """What the tool has written, in order."""
        return self.notes.read_text().split()

    def is_tool(self, pid: int) -> bool:
        """True while the process is a tool server of this site."""
        with suppress(OSError):
            return str(self.notes) in Path(f"/proc/{pid}/cmdline").read_text()
        return False

    def tool_pids(self) -> list[int]:
        """Of every tool process there ever was."""
        return [int(pid) for pid in self.pids.read_text().split()]


class Victim:
    """Starts, arms and kills a service; `url` stays the same over restarts.

    Args:
        at: Host and port; a port of loopback where it is not given.
    """

    def __init__(self, nursery: subprocess.Popen[str], site: Site, at: tuple[str, int] | None = None) -> None:
        self._nursery = nursery
        self.site = site
        host, self.port = at or ("127.0.0.1", own_port())
        self.url = f"http://{host}:{self.port}"
        self.pid = 0

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        # The listener is there before the service is: the request waits in its backlog.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.alive:
            with suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}/health/live", timeout=PATIENCE_SECONDS, trust_env=False)
                if answer.status_code == 200:
                    return
            time.sleep(0.005)
        raise AssertionError(f"the service did not start:\n{self.site.log.read_text()[-4000:]}")

    def launch(self) -> None:
        """Start it and do not wait."""
        assert not self.alive, "it is running"
        wanted: dict[str, Any] = {
            "port": self.port,
            "env": self.site.env(),
            "armed": str(self.site.armed),
            "log": str(self.site.log),
        }
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        print(json.dumps(wanted), file=self._nursery.stdin, flush=True)
        said = self._nursery.stdout.readline()
        self.pid = int(self._nursery.stdout.readline() if said == READY else said)

    @property
    def alive(self) -> bool:
        # Reaped by the nursery, not only dead: a thread that goes last may still hold the port.
        return bool(self.pid) and Path(f"/proc/{self.pid}").exists()

    def arm(self, place: str, *, after: int = 0) -> None:
        """See `traps.arm`."""
        traps.arm(self.site.armed, place, after=after)

    def disarm(self) -> None:
        self.site.armed.unlink(missing_ok=True)

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def tell_where(self) -> None:
        """Have it write where it stands into its log; returns when that is there."""
        self.signal(signal.SIGUSR1)
        _until(lambda: STANDS in self.site.log.read_text(), TOLD_SECONDS)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """True when it is gone within so many seconds."""
        if not _until(lambda: not self.alive, seconds):
            return False
        self.pid = 0
        return True


def own_port() -> int:
    """A TCP port that no test takes while a victim is dead: beside those of the kit, below the system's."""
    while True:
        port = 30_000 + secrets.randbelow(2_700)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def runs(pid: int) -> bool:
    """True while the process lives; one that is dead but not yet reaped does not count."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def gone(pids: list[int], seconds: float) -> bool:
    """True when none of the processes is there any more within so many seconds."""
    return _until(lambda: not any(runs(pid) for pid in pids), seconds)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)  # other processes: there is no event to wait for
    return True


@contextmanager
def storage_of(kind: str) -> Iterator[str]:
    """`storage.url` for a database of this kind (sqlite, postgres); "" is the one in the home."""
    if kind == "sqlite":
        yield ""
        return
    with PostgresServer() as server:
        yield plain(server.create_database())


def plain(url: URL) -> str:
    """A database's URL as a person writes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
