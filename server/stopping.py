"""How a service stops: it drains first, and it ends in any case.

Where uvicorn has the signals, in the processes of `serve --workers`, `draining_first` goes before it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import structlog

from core.settings.platform import ServerSettings
from graph.agent import Agent

log = structlog.get_logger()

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Of a process that had to be ended: as that of a program whose fault it is.
FORCED = 70
# The innermost functions of a thread that is named in the log.
_DEEP = 4
# What is said goes out before the end, where nothing holds it up.
_SAYING_S = 1.0
_ending: set[threading.Timer] = set()


def ends_in_time(settings: ServerSettings) -> None:
    """From now on this process drains and ends, and is gone when the settings say so, whatever it hangs on.

    A loop that is blocked, a thread that waits for ever, a module that does not close: its leases run out,
    and its runs go on elsewhere. Asked again, nothing changes.
    """
    if _ending:
        return
    timer = threading.Timer(settings.drain_seconds + settings.stop_seconds, _end)
    timer.daemon = True
    _ending.add(timer)
    timer.start()


def _end() -> None:
    saying = threading.Thread(target=_say, daemon=True)
    saying.start()
    saying.join(_SAYING_S)
    os._exit(FORCED)


def _say() -> None:
    """By functions, without paths: where each thread is that did not let it end."""
    here = threading.get_ident()
    frames = {number: frame for number, frame in sys._current_frames().items() if number != here}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    waits = sorted(f"{names.get(number, '')}: {_functions(frame)}" for number, frame in frames.items())
    log.error("stop_forced", waits_in=waits)
    sys.stderr.flush()


def _functions(frame: FrameType | None) -> str:
    found: list[str] = []
    while frame is not None and len(found) < _DEEP:
        found.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return " < ".join(found)


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
            ends_in_time(self._agent.book[ServerSettings])
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
