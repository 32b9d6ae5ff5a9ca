"""A child process with pipes that never outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio

GRACE_SECONDS = 1.5


@asynccontextmanager
async def child_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    keep: Sequence[int] = (),
    watched: bool = True,
) -> AsyncIterator[Process]:
    """Run a command in a process group of its own; leaving ends the whole group, and so does our death.

    Args:
        keep: File descriptors that it gets as they are.
        watched: Without it nobody but itself ends it when we die.

    Raises:
        OSError: The command cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        pass_fds=keep,
    )
    watches = ExitStack()
    try:
        if watched:
            watches.enter_context(WATCHDOG.over(process.pid))
        yield process
    finally:
        # The shield keeps anyio's cancellation out; a second task.cancel() still kills at once.
        with watches, anyio.CancelScope(shield=True):
            await _end(process)


async def _end(process: Process) -> None:
    """Close stdin, then SIGTERM, then SIGKILL, as the protocol asks of a stdio client."""
    try:
        if process.stdin is not None:
            process.stdin.close()
        if not await _exited(process):
            _signal(process, signal.SIGTERM)
            await _exited(process)
    finally:
        _signal(process, signal.SIGKILL)  # also what the server itself has left behind
    await process.wait()


async def _exited(process: Process) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            await process.wait()
            return True
    return False


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class Watchdog:
    """A process of its own that ends the process groups here when this process has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # loops of several threads may start servers
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def over(self, group: int) -> Iterator[None]:
        """Within the block: when this process dies, the process group is ended some seconds later.

        Raises:
            OSError: The watchdog cannot be started.
        """
        with self._lock:
            self._add(group)
        try:
            yield
        finally:
            with self._lock:
                self._remove(group)

    def _add(self, group: int) -> None:
        if not self._write("+", [group]):
            self._stop()
            self._process = _started()
            self._write("+", [*self._groups, group])
        self._groups.add(group)

    def _remove(self, group: int) -> None:
        self._groups.discard(group)
        self._write("-", [group])
        if not self._groups:
            self._stop()

    def _write(self, sign: str, groups: Iterable[int]) -> bool:
        """False when there is no watchdog, or somebody has killed it."""
        if self._process is None or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write("".join(f"{sign}{group}\n" for group in groups).encode())
        except OSError:
            return False
        return True

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.communicate()  # it has nothing left to end, and is gone in no time


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd="/",
        # What is sent to our group, such as Ctrl-C, is not for it.
        start_new_session=True,
    )


WATCHDOG = Watchdog()
"""Of this process."""
