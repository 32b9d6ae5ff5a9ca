"""Waiting for the end of an attempt that goes on in this process, and for a time that is to come."""

from __future__ import annotations

import asyncio

from core.signals import Signals
from graph.runs.record import Run


async def until_over(live: Run | None, until: float | None, *, hurried: bool) -> None:
    """Wait for the end of an attempt that goes on here, if one does.

    Args:
        until: Longest, by the clock of the event loop.
        hurried: Whoever waits does not wait for a database that is away.

    Raises:
        DatabaseUnavailable: It is away, and the caller is hurried.
    """
    if live is None or live.task is None:
        return
    left = None if until is None else max(until - asyncio.get_running_loop().time(), 0)
    if not hurried:
        await asyncio.wait([live.task], timeout=left)
        return
    held_up = asyncio.create_task(live.held_up.wait())
    try:
        await asyncio.wait([live.task, held_up], timeout=left, return_when=asyncio.FIRST_COMPLETED)
    finally:
        held_up.cancel()
    if live.away is not None:
        raise live.away


async def sent_after(seconds: float, signals: Signals, topic: str) -> None:
    """Tell everybody when that time has gone by."""
    await asyncio.sleep(seconds)
    signals.send(topic)
