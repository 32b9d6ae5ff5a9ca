"""A child process with pipes that never outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio

from nodes.mcp_tools.adapters.watch import WATCH

GRACE_SECONDS = 1.5


@asynccontextmanager
async def child_process(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None
) -> AsyncIterator[Process]:
    """Run a command in a process group of its own; leaving ends the whole group, and so does our death.

    Raises:
        OSError: The command cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(env), cwd=cwd, start_new_session=True
    )
    watched = ExitStack()
    try:
        watched.enter_context(WATCH.over(process.pid))
        yield process
    finally:
        # The shield keeps anyio's cancellation out; a second task.cancel() still kills at once.
        with watched, anyio.CancelScope(shield=True):
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
