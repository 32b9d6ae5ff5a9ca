"""Work that no caller waits for."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any


class BackgroundTasks:
    """Tasks that go on beside the calls; all end with `aclose`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, context: contextvars.Context | None = None) -> None:
        """Do it, with nobody waiting."""
        self._add(asyncio.create_task(work, context=context))

    def hold(self, task: asyncio.Future[Any], *, longest_s: float) -> None:
        """Let a task, or what is waited for, that was begun elsewhere come to its end; not for ever."""
        timer = asyncio.get_running_loop().call_later(longest_s, task.cancel)
        task.add_done_callback(lambda _: timer.cancel())
        self._add(task)

    def _add(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End what still goes on."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
