"""Work that is not left half done when its caller is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which runs to its end in any case: a cancelled caller waits for that."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # the caller has gone: nobody else asks for it
        raise


def uninterrupted(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For functions that write in a transaction.

    A cancellation between its statements would leave the connection in a state
    that only closing it mends, and on SQLite the whole database locked meanwhile.
    """

    @wraps(method)
    async def outer(*args: P.args, **kwargs: P.kwargs) -> T:
        return await finished(method(*args, **kwargs))

    return outer
