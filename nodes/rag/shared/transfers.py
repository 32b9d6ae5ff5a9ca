"""Many files at once, and not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

AT_ONCE = 8


async def transferred(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do all of it, some at a time; what fails first ends the rest, and is raised as it is."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(transfer: Callable[[], Awaitable[None]]) -> None:
        async with limit:
            await transfer()

    try:
        async with asyncio.TaskGroup() as group:
            for transfer in work:
                group.create_task(one(transfer))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
