"""Work of a session that no caller waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

LINGER_SECONDS = 60.0  # so long a call that was given up and never answered counts as one that may ask


class Lingering:
    """Notes to a server, and requests that it may still be at work on; all end with the session."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Until it is answered; not for ever."""
        timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, task.cancel)
        self._tasks.add(task)

        def done(_: object) -> None:
            timer.cancel()
            self._tasks.discard(task)

        task.add_done_callback(done)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, with nobody waiting."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """The session is over."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
