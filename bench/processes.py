"""Processes that are measured: started, asked whether they are there, and what their trees have used."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

START_SECONDS = 90.0
STOP_SECONDS = 20.0
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def cpu_of(pid: int) -> float:
    """CPU seconds of a tree so far, as the scheduler counts: in nanoseconds, with threads that ended.

    A child that ended stands in its parent's account, in ticks.
    """
    return sum(_own(each) + _reaped(each) for each in tree(pid))


def _own(pid: int) -> float:
    # clock_getcpuclockid(3), which Python has for threads only.
    with suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)
    return 0.0


def _reaped(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[13]) + int(fields[14])) / _TICK
    return 0.0


def written_of(pid: int) -> int:
    """Bytes that a tree has handed to write calls so far: to files, pipes and most sockets."""
    written = 0
    for each in tree(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{each}/io").read_text().splitlines()
            written += sum(int(line.split()[1]) for line in lines if line.startswith("wchar"))
    return written


def memory_of(pid: int) -> int:
    """Resident bytes of a tree; pages that processes share count for each."""
    pages = 0
    for each in tree(pid):
        with suppress(OSError):
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
    return pages * _PAGE


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout of Waystation with an environment of its own.

    Args:
        name: What its figures are called by.
        root: Its folder.
    """

    name: str
    root: Path

    @property
    def python(self) -> str:
        return str(self.root / ".venv/bin/python")

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the caller's settings, and this checkout before an installed one."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "WAYSTATION_", "LANG"))}
        return {**kept, "PYTHONPATH": str(self.root), **env}

    def words(self, module: str) -> list[str]:
        """Arguments that run `main` of a module of `bench` with its Python, and all else that it has."""
        ours = str(HERE.root)
        code = (
            f"import sys; sys.path.insert(0, {ours!r}); import {module} as ours; "
            f"sys.path.remove({ours!r}); ours.main()"
        )
        return ["-c", code]


HERE = Checkout("now", Path(__file__).parents[1])


@contextmanager
def running(
    words: Sequence[str], checkout: Checkout, log: Path, env: Mapping[str, str], *, talks: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """The Python of a checkout with these arguments, until the block ends.

    Args:
        log: Takes what it prints, and its errors.
        talks: Its input and output are pipes instead.
    """
    with log.open("a") as out:
        process = subprocess.Popen(
            [checkout.python, *words],
            cwd=checkout.root,
            env=checkout.environment(env),
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else out,
            stderr=out,
            text=True,
        )
    try:
        yield process
    finally:
        ended(process)


def ended(process: subprocess.Popen[str]) -> None:
    """Ask it to stop, and kill it when it does not."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Return when `url` answers.

    Raises:
        RuntimeError: It ended or did not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - an address of loopback
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{url} did not answer:\n{log.read_text()[-3000:]}")
