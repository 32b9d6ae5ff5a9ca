"""The service and its commands as users run them: processes of their own, on a free port of loopback."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx

from core.installed import shipped

# The checkout, or where the wheel was installed: the packages stand there.
ROOT = Path(__file__).parents[2]
# Where it never starts, its process ends long before; on a busy machine it takes a minute.
START_SECONDS = 100.0


def free_port() -> int:
    """A TCP port that nothing listens on, and that stays ours over a restart.

    Below the range from which the system hands out ports, and in a part of its
    own for each of the processes that tests run in.
    """
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    while True:
        port = 20_000 + 1_000 * part + secrets.randbelow(1_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(
    home: Path, *, config_dir: Path | None = None, env: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a process of ours: nothing of the caller's but what is given.

    Args:
        home: Its WAYSTATION_HOME.
        config_dir: Its configuration; by default the example that ships.
        env: More environment, such as OPENAI_BASE_URL; searches are by words unless it says otherwise.
    """
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "WAYSTATION_", "LANG"))},
        "WAYSTATION_HOME": str(home),
        "WAYSTATION_CONFIG_DIR": str(config_dir or shipped() / "config"),
        # Vectors of the handbook take a core for seconds, in each process with a home of its own.
        "WAYSTATION_RAG__SEARCH": "words",
        **(env or {}),
    }


def run(
    *words: str, home: Path, config_dir: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`waystation WORDS` in a process of its own, to its end; the folders as for `environment`."""
    return subprocess.run(
        [sys.executable, "-m", "waystation", *words],
        cwd=ROOT,
        env=environment(home, config_dir=config_dir, env=env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


class Service:
    """Starts, stops and kills a service; `url` stays the same over restarts.

    Args:
        home: Its WAYSTATION_HOME.
        config_dir: Its configuration; by default the example that ships.
        env: More environment, such as OPENAI_BASE_URL.
        words: More words for `waystation serve`.
    """

    def __init__(
        self,
        home: Path,
        *,
        config_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        words: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / f"{home.name}.log"
        self._env = environment(home, config_dir=config_dir, env=env)
        self._words = tuple(words)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "the service is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "waystation", "serve", "--port", str(self.port), *self._words],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            # A `with` whose block was never entered does not come to its end.
            self.kill()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        # One client for all tries, without certificates: loading them is most of what asking takes.
        with httpx.Client(timeout=5, verify=False, trust_env=False) as client:  # noqa: S501 - plain HTTP
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    if client.get(f"{self.url}/health/ready").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        raise AssertionError(f"the service did not start:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, sign: signal.Signals) -> int:
        assert self._process, "the service is not running"
        self._process.send_signal(sign)
        try:
            return self._process.wait(timeout=30)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process and self._process.poll() is None:
            self.stop()
