"""What is done after an answer has gone out, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from core.errors import WaystationError

_chores: set[asyncio.Task[None]] = set()


def later(work: Coroutine[Any, Any, None]) -> None:
    """Do it in a task of its own; what is refused meanwhile is left as it is."""

    async def done() -> None:
        with suppress(WaystationError):
            await work

    task = asyncio.create_task(done())
    _chores.add(task)
    task.add_done_callback(_chores.discard)
