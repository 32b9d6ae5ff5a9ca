"""Forks the tool servers of plugins that agents of this process start: their interpreter is most of a test.

They are processes on pipes as ever, which run the same scripts.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.kit.tool_forks import asking, is_tool

FORKS = Path(__file__).with_name("tool_forks.py")


class Forks:
    """Starts the process that forks when the first server is wanted."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    @cached_property
    def address(self) -> str:
        """Where forks are asked for."""
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


@pytest.fixture(scope="session")
def tool_forks() -> Iterator[Forks]:
    """What forks the tool servers of this process, and of what is forked from it."""
    with ExitStack() as stack:
        yield Forks(stack)


@pytest.fixture(scope="session", autouse=True)
def _tool_servers_are_forked(tool_forks: Forks) -> Iterator[None]:
    start = asyncio.create_subprocess_exec

    async def started(*argv: Any, **options: Any) -> asyncio.subprocess.Process:
        return await start(*(asking(argv, tool_forks.address) if is_tool(argv) else argv), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "create_subprocess_exec", started)
        yield
