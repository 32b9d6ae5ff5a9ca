"""Drain before the server stops, in the processes of `serve --workers`, where uvicorn has the signals."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from core.settings.platform import ServerSettings
from graph.agent import Agent

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def draining_first(agent: Agent) -> Iterator[None]:
    """Inside the block a signal to stop drains the agent and is then given to whoever had it before.

    Requests are answered meanwhile, so that readiness can say what happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    stop = _Stop(agent, before)
    for number in _SIGNALS:
        signal.signal(number, stop.asked)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    def __init__(self, agent: Agent, before: dict[signal.Signals, Any]) -> None:
        self._agent = agent
        self._before = before
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def asked(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. A second signal does not wait for the drain."""
        if self._task is None:
            self._loop.call_soon_threadsafe(self._begin, number)
        else:
            self._pass_on(number)

    def _begin(self, number: int) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._drain(number))

    async def _drain(self, number: int) -> None:
        try:
            await self._agent.drain(seconds=self._agent.book[ServerSettings].drain_seconds)
        finally:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        handler = self._before[signal.Signals(number)]
        if callable(handler):
            handler(number, None)
