"""What runs a subscription's handler: a task of the event loop, or a thread for sync handlers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from queue import SimpleQueue
from typing import Protocol

from core.events.event import Event
from core.events.subscription import HandlerFailed, Subscription


class Worker(Protocol):
    """Handles one subscription's events in order, until it is closed and empty."""

    def start(self) -> None: ...

    def done(self) -> asyncio.Future[None]: ...

    @property
    def ended(self) -> bool: ...

    def abort(self) -> None: ...


class LoopWorker:
    """Runs an async handler in a task of the bus's event loop.

    Args:
        loop_thread: Ident of the thread that runs `loop`.
    """

    def __init__(self, sub: Subscription, loop: asyncio.AbstractEventLoop, loop_thread: int) -> None:
        self._sub = sub
        self._loop = loop
        self._loop_thread = loop_thread
        self._woken = asyncio.Event()
        self._done: asyncio.Future[None] = loop.create_future()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sub.wake = lambda: self._on_loop(self._woken.set)
        self._on_loop(self._begin)

    def done(self) -> asyncio.Future[None]:
        return self._done

    @property
    def ended(self) -> bool:
        return self._done.done()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _on_loop(self, call: Callable[[], None]) -> None:
        if threading.get_ident() == self._loop_thread:
            call()
            return
        # The loop may have been closed under us: then nobody is left to wake.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    def _begin(self) -> None:
        # An empty context: what the subscriber was doing has nothing to do with later events.
        self._task = self._loop.create_task(
            self._run(), name=f"events:{self._sub.name}", context=contextvars.Context()
        )
        self._task.add_done_callback(lambda _: self._done.set_result(None))

    async def _run(self) -> None:
        while True:
            event = self._sub.take()
            if event is not None:
                with self._sub.handling(event):
                    await self._handle(event)
                # A handler that never waits must not keep the loop from others.
                await asyncio.sleep(0)
            elif self._sub.closed:
                return
            else:
                await self._woken.wait()
                self._woken.clear()

    async def _handle(self, event: Event) -> None:
        try:
            async with asyncio.timeout(self._sub.deadline_s) as deadline:
                await self._sub.handler(event)
        except TimeoutError as error:
            if deadline.expired():
                raise HandlerFailed(f"took longer than {self._sub.deadline_s:g} s") from error
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something the handler waited for was cancelled, not the handler.
            raise HandlerFailed("what it waited for was cancelled") from error


class ThreadWorker:
    """Runs a sync handler in a thread of its own, so that a blocking one holds up nobody else."""

    def __init__(self, sub: Subscription, loop: asyncio.AbstractEventLoop) -> None:
        self._sub = sub
        self._loop = loop
        self._woken: SimpleQueue[None] = SimpleQueue()  # its put may be called again from within itself
        self._finished: ThreadFuture[None] = ThreadFuture()
        # A daemon: a handler that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"events:{sub.name}", daemon=True)

    def start(self) -> None:
        self._finished.set_running_or_notify_cancel()
        self._sub.wake = lambda: self._woken.put(None)
        self._thread.start()

    def done(self) -> asyncio.Future[None]:
        return asyncio.wrap_future(self._finished, loop=self._loop)

    @property
    def ended(self) -> bool:
        return self._finished.done()

    def abort(self) -> None:
        """A thread cannot be stopped; it ends when its handler returns."""

    def _run(self) -> None:
        while True:
            event = self._sub.take()
            if event is not None:
                with self._sub.handling(event):
                    self._handle(event)
            elif self._sub.closed:
                break
            else:
                self._woken.get()
        self._finished.set_result(None)

    def _handle(self, event: Event) -> None:
        result = self._sub.handler(event)
        if inspect.iscoroutine(result):
            result.close()
            raise HandlerFailed("it gave a coroutine; declare it with async def")
