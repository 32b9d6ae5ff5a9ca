"""Indexing that nobody waits for, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any


class NobodyElse:
    """The answer of a process without a task queue: index it here."""

    async def index(self, source: str) -> bool:
        return False


class Background:
    """A task per source; a newer one takes the place of the older."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` for the source `name`."""
        if name in self._tasks:
            self._tasks[name].cancel()  # it works on what the file said before; safe at any point
        task = asyncio.create_task(work, name=f"index {name}")
        self._tasks[name] = task
        task.add_done_callback(partial(self._ended, name))

    async def aclose(self) -> None:
        """End what runs; what was done stays."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
