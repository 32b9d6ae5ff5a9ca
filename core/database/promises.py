"""What a task has written down and need not wait for: it may go on with what can be done again.

A turn's next step begins when the step before it stands in the writer's line. While that is committed, its
model can be asked: a question that is asked for nothing costs money, and loses nothing. Before anything is
done or told that cannot be taken back, somebody waits for `kept`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class Promises:
    """What is on its way to the disk for one turn."""

    def __init__(self) -> None:
        self._open: list[asyncio.Task[Any]] = []

    def add(self, keeping: Coroutine[Any, Any, Any]) -> None:
        """One more; it goes on by itself."""
        task = asyncio.create_task(keeping)
        # Whoever waits for it hears how it ends. A turn that has ended otherwise asks nobody.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._open.append(task)

    async def kept(self) -> None:
        """Returns when all of it is on disk, or raises what is wrong with the first that is not."""
        while unkept := [task for task in self._open if not _is_kept(task)]:
            await asyncio.shield(unkept[0])
        self._open.clear()

    def when_kept(self, tell: Callable[[T], object], said: T) -> None:
        """Tell this when what is open now is on disk: at once where nothing is, never where that fails."""
        unkept = {task for task in self._open if not _is_kept(task)}
        if not unkept:
            tell(said)

        def ended(task: asyncio.Task[Any]) -> None:
            if _is_kept(task):
                unkept.discard(task)
                if not unkept:
                    tell(said)

        for task in list(unkept):
            task.add_done_callback(ended)

    async def over(self, *, given_up: bool) -> None:
        """Returns when nothing of it goes on. Who is given up is not tried again."""
        for task in self._open if given_up else ():
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


def _is_kept(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


_promises: ContextVar[Promises | None] = ContextVar("waystation_promises", default=None)


@asynccontextmanager
async def promising() -> AsyncIterator[Promises]:
    """In the block, and in tasks that are made there, steps go on ahead of their promises; its end waits.

    Raises:
        Exception: What is wrong with one of them.
    """
    promises, cut = Promises(), False
    token = _promises.set(promises)
    try:
        yield promises
        await promises.kept()
    except asyncio.CancelledError:
        cut = True
        raise
    finally:
        _promises.reset(token)
        await promises.over(given_up=cut)


def open_promises() -> Promises | None:
    """Those of this task; None where each is waited for."""
    return _promises.get()


async def kept() -> None:
    """Returns when what this task has promised is on disk. Raises what is wrong with it."""
    if (promises := _promises.get()) is not None:
        await promises.kept()


def when_kept(tell: Callable[[T], object], said: T) -> None:
    """Tell this once what this task has promised is on disk; at once where nothing is open."""
    if (promises := _promises.get()) is not None:
        promises.when_kept(tell, said)
    else:
        tell(said)
