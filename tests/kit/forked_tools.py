"""Forks the tool servers of plugins that agents of this process start: their interpreter is most of a test.

They are processes on pipes as ever, which run the same scripts. What the tests start in processes of their
own, such as `waystation serve`, starts its tool servers as for everybody.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

FORKS = Path(__file__).with_name("tool_forks.py")


class Forks:
    """Starts the process that forks when the first server is wanted."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._address = ""

    def instead_of(self, argv: tuple[Any, ...]) -> tuple[Any, ...]:
        """The command to run for `argv`: another one for the script of a plugin."""
        if argv[0] != sys.executable or Path(argv[1]).name != "server.py":
            return argv
        self._address = self._address or self._started()
        return (sys.executable, "-I", "-S", str(FORKS), "ask", self._address, *argv[1:])

    def _started(self) -> str:
        address = f"{self._stack.enter_context(tempfile.TemporaryDirectory())}/forks"
        process = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-P", str(FORKS), "serve", address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return address


@pytest.fixture(scope="session", autouse=True)
def _tool_servers_are_forked() -> Iterator[None]:
    start = asyncio.create_subprocess_exec
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        forks = Forks(stack)

        async def started(*argv: Any, **options: Any) -> asyncio.subprocess.Process:
            return await start(*forks.instead_of(argv), **options)

        patch.setattr(asyncio, "create_subprocess_exec", started)
        yield
