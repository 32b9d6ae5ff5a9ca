"""An event is a fact that happened, when, and for whom; each subscription has its own bounded queue.

Neither the slowness of a handler nor its errors reach a publisher.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future as ThreadFuture
from dataclasses import dataclass, field, fields
from functools import partial
from queue import SimpleQueue
from typing import Any

import structlog
from prometheus_client import Counter

from core.correlation import Correlation, correlated, current
from core.errors import WaystationError
from core.observability import REGISTRY

EVENTS = Counter(
    "waystation_event_deliveries_total",
    "Events at their subscribers: ok, failed or dropped.",
    ["subscriber", "outcome"],
    registry=REGISTRY,
)
FAILING_IN_A_ROW = 3
_LOG_EVERY = 100
# A handler that is cancelled at its deadline may take a moment to let go.
_GRACE_SECONDS = 1.0

Handler = Callable[[Any], Any]

_FRAME = ("at", "by")
_IDS = tuple(f.name for f in fields(Correlation))


class HandlerFailed(Exception):
    """How a handler failed, in words for an operator; it never leaves the bus."""


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """What became of a subscription's events since it was made.

    Args:
        in_a_row: Failures since the last event that was handled.
        busy_s: Seconds for which the handler has been working on one event; 0 when idle.
        dropped_ago_s: Seconds since an event was last dropped; None for never.
        reason: Why the last failure was one; "" without.
    """

    name: str
    events: tuple[str, ...]
    handled: int
    failed: int
    dropped: int
    waiting: int
    in_a_row: int
    busy_s: float
    dropped_ago_s: float | None
    deadline_s: float
    reason: str

    @property
    def failing(self) -> bool:
        """True when it fails again and again, or has never done anything else."""
        return self.in_a_row >= FAILING_IN_A_ROW or (self.failed > 0 and self.handled == 0)

    @property
    def stuck(self) -> bool:
        """True when the handler has been with one event for longer than it may."""
        return self.busy_s > self.deadline_s + _GRACE_SECONDS


class Subscription:
    """A handler, what waits for it, and what became of it. Made by `EventBus.subscribe`."""

    def __init__(
        self, name: str, kinds: tuple[type[Event], ...], handler: Handler, *, limit: int, deadline_s: float
    ) -> None:
        self.name = name
        self.kinds = kinds
        self.handler = handler
        self.is_async = _is_async(handler)
        self.deadline_s = deadline_s
        self.wake: Callable[[], None] | None = None
        self._limit = limit
        self._waiting: deque[Event] = deque()
        # Reentrant: a finaliser may publish while its thread is in here.
        self._lock = threading.RLock()
        self._asleep = self._closed = self._full = False
        self._handled = self._failed = self._dropped = self._in_a_row = 0
        self._busy_since: float | None = None
        self._dropped_at: float | None = None
        self._reason = ""
        self._ok = EVENTS.labels(name, "ok")

    def offer(self, event: Event) -> None:
        """Queue the event, or count it as dropped where the queue is full or closed. Never waits."""
        with self._lock:
            if self._closed or len(self._waiting) >= self._limit:
                return self._drop(1)
            self._full = False
            self._waiting.append(event)
            asleep, self._asleep = self._asleep, False
        if asleep and self.wake is not None:
            self.wake()
        return None

    def take(self) -> Event | None:
        """The next event; None when none waits, and then the next one wakes the worker."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._asleep = True
            return None

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Accept no more; what waits is still handled."""
        with self._lock:
            self._closed = True
        if self.wake is not None:
            self.wake()

    def abandon(self) -> int:
        """Drop what still waits; says how much that was."""
        with self._lock:
            left = len(self._waiting)
            self._waiting.clear()
            if left:
                self._drop(left)
            return left

    @contextlib.contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        """Around the handler's work on one event: its errors are counted and logged, and end here."""
        self._busy_since = time.monotonic()
        try:
            ids = event.ids()
            with correlated(**ids) if ids else contextlib.nullcontext():
                yield
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a handler's fault stays the handler's
            self._note_failure(event, error)
        else:
            self._handled += 1
            self._in_a_row = 0
            self._ok.inc()
        finally:
            self._busy_since = None

    def status(self) -> SubscriptionStatus:
        now = time.monotonic()
        busy, dropped_at = self._busy_since, self._dropped_at
        return SubscriptionStatus(
            name=self.name,
            events=tuple(kind.__name__ for kind in self.kinds),
            handled=self._handled,
            failed=self._failed,
            dropped=self._dropped,
            waiting=len(self._waiting),
            in_a_row=self._in_a_row,
            busy_s=0.0 if busy is None else now - busy,
            dropped_ago_s=None if dropped_at is None else now - dropped_at,
            deadline_s=self.deadline_s,
            reason=self._reason,
        )

    def _note_failure(self, event: Event, error: BaseException) -> None:
        self._failed += 1
        self._in_a_row += 1
        self._reason = _reason(error)
        EVENTS.labels(self.name, "failed").inc()
        if self._in_a_row % _LOG_EVERY == 1:
            self._warn("event_handler_failed", event_type=event.what, reason=self._reason)

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._dropped_at = time.monotonic()
        EVENTS.labels(self.name, "dropped").inc(count)
        if not self._full and not self._closed:
            self._full = True
            self._warn("event_queue_full", limit=self._limit)

    def _warn(self, what: str, **more: Any) -> None:
        # A closed stderr must not reach a publisher.
        with contextlib.suppress(OSError, ValueError):
            structlog.get_logger().warning(what, subscriber=self.name, **more)


def _is_async(handler: object) -> bool:
    while isinstance(handler, partial):
        handler = handler.func
    # A class of its own may have an async __call__.
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _reason(error: BaseException) -> str:
    """What an operator may read: no path, no content."""
    if isinstance(error, HandlerFailed):
        return str(error)
    if isinstance(error, WaystationError):
        return error.detail
    name = type(error).__name__
    return f"{name}: {error.strerror}" if isinstance(error, OSError) and error.strerror else name


class LoopWorker:
    """Runs an async handler in a task of the bus's event loop: in order, until it is closed and empty.

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


# How long a blocking handler is left alone behind what it was woken for.
REST_SECONDS = 0.02


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
        rested = 0.0
        while True:
            event = self._sub.take()
            if event is not None:
                with self._sub.handling(event):
                    self._handle(event)
            elif self._sub.closed:
                break
            else:
                self._woken.get()
                # Waking a thread costs the publisher more than most handlers take: a rest is woken for once.
                time.sleep(max(rested + REST_SECONDS - time.monotonic(), 0.0))
                rested = time.monotonic()
                while not self._woken.empty():
                    self._woken.get()
        self._finished.set_result(None)

    def _handle(self, event: Event) -> None:
        result = self._sub.handler(event)
        if inspect.iscoroutine(result):
            result.close()
            raise HandlerFailed("it gave a coroutine; declare it with async def")


Worker = LoopWorker | ThreadWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of every event.

    A subclass is a frozen dataclass whose fields are JSON values: ids, names,
    counts and durations, never what somebody wrote.

    Args:
        at: When it happened, in seconds since 1970.
        by: The request, run, thread and user it happened for; the current ones by default.
    """

    at: float = field(default_factory=time.time)
    by: Correlation = field(default_factory=current)

    @property
    def what(self) -> str:
        """The class's name, by which settings, webhooks and the audit log call the event."""
        return type(self).__name__

    @property
    def outcome(self) -> str:
        """How it went: the event's own `status` where it has one, otherwise "done"."""
        return str(getattr(self, "status", "") or "done")

    def details(self) -> dict[str, Any]:
        """The event's own fields."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _FRAME}

    def ids(self) -> dict[str, str]:
        """The ids it happened for that are known, the user's too."""
        return {name: value for name in _IDS if (value := getattr(self.by, name))}

    def as_json(self) -> dict[str, Any]:
        """Its own fields, with `at` and, under `by`, the ids that are known."""
        return {**self.details(), "at": self.at, "by": self.ids()}


def known_events() -> dict[str, type[Event]]:
    """Every event class that is loaded, by its name."""
    found: dict[str, type[Event]] = {}
    queue: list[type[Event]] = [Event]
    while queue:
        for cls in queue.pop().__subclasses__():
            # A dataclass with slots is made anew: of two classes of one name the later is the real one.
            found[cls.__name__] = cls
            queue.append(cls)
    return dict(sorted(found.items()))
