"""The event bus and the audit log: who publishes never waits and never fails, whatever a subscriber does.

Each subscription has its own bounded queue and its own worker. A publisher
only appends; what does not fit is dropped and counted. Events of one publisher
reach a handler in their order.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

import structlog
from prometheus_client import Counter

from core.errors import ConfigInvalid
from core.events.subscription import Event, LoopWorker, Subscription, SubscriptionStatus, ThreadWorker, Worker
from core.foreign import as_bytes
from core.health import Health, degraded, healthy
from core.observability import REGISTRY

PUBLISHED = Counter("waystation_events_total", "Events published, by type.", ["event"], registry=REGISTRY)
# For how long a dropped event shows in the health.
DROPS_SHOW_SECONDS = 300.0
_CANCEL_SECONDS = 1.0

E = TypeVar("E", bound=Event)
_Offer = Callable[[Event], None]


class EventBus:
    """Typed events for whoever subscribed to their type or to a parent of it.

    Before `async with bus` events wait for their handlers; after it they are
    dropped. Publishing is safe at any time, from any thread.

    Args:
        queue: Events that may wait for one subscription, unless it says otherwise.
        drain_s: Seconds that closing waits for handlers to finish what is queued.
    """

    def __init__(self, queue: int = 1000, *, drain_s: float = 5.0) -> None:
        self._queue = queue
        self._drain_s = drain_s
        self._subscriptions: dict[Subscription, Worker | None] = {}
        # Unsubscribed, and still at work on what waited.
        self._leaving: dict[Subscription, Worker] = {}
        # A type's counter and whoever wants it; emptied when a subscription changes.
        self._routes: dict[type[Event], tuple[Counter, tuple[_Offer, ...]]] = {}
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._closed = False

    def publish(self, event: Event) -> None:
        """Tell everybody who subscribed. Returns at once and raises nothing."""
        kind = type(event)
        published, offers = self._routes.get(kind) or self._route(kind)
        published.inc()
        for offer in offers:
            offer(event)

    def subscribe(
        self,
        kinds: type[E] | tuple[type[E], ...],
        handler: Callable[[E], Awaitable[object]] | Callable[[E], object],
        *,
        name: str,
        queue: int | None = None,
        deadline_s: float = 30.0,
    ) -> Subscription:
        """Call `handler` with every event of these types and of their subclasses, one after the other.

        Args:
            handler: A coroutine function runs on the bus's event loop; any other
                callable in a thread of its own.
            name: A fixed word for metrics, health and logs.
            queue: Events that may wait for this handler.
            deadline_s: Seconds for one event. A coroutine is cancelled then; a
                blocking function only shows in the health.

        Raises:
            ConfigInvalid: The name is taken.
        """
        wanted = kinds if isinstance(kinds, tuple) else (kinds,)
        subscription = Subscription(name, wanted, handler, limit=queue or self._queue, deadline_s=deadline_s)
        with self._lock:
            if any(other.name == name for other in self._subscriptions):
                raise ConfigInvalid(f"two event subscribers are called '{name}'; rename one")
            self._subscriptions[subscription] = None
            self._routes.clear()
            if self._closed:
                subscription.close()
            elif self._loop is not None:
                self._start(subscription, self._loop)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Send it nothing more; what already waits is still handled."""
        with self._lock:
            worker = self._subscriptions.pop(subscription, None)
            self._routes.clear()
            self._leaving = {sub: other for sub, other in self._leaving.items() if not other.ended}
            if worker is not None:
                self._leaving[subscription] = worker
        subscription.close()

    def status(self) -> list[SubscriptionStatus]:
        """What became of the events of each subscription, by name."""
        with self._lock:
            return sorted((sub.status() for sub in self._subscriptions), key=lambda status: status.name)

    async def check(self) -> Health:
        """Degraded while a subscriber is stuck, fails again and again, or dropped events lately."""
        statuses = self.status()
        problems = [problem for status in statuses if (problem := _problem(status))]
        counts = {
            status.name: {"handled": status.handled, "failed": status.failed, "dropped": status.dropped}
            | {"waiting": status.waiting}
            for status in statuses
        }
        return degraded("; ".join(problems), **counts) if problems else healthy(**counts)

    async def __aenter__(self) -> Self:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._loop_thread = threading.get_ident()
            for subscription in self._subscriptions:
                self._start(subscription, self._loop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let the handlers finish what waits, within `drain_s`; what comes later is dropped."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            mine = {sub: worker for sub, worker in self._subscriptions.items() if worker is not None}
            workers = {**self._leaving, **mine}
        for subscription in workers:
            subscription.close()
        try:
            await _all_done(list(workers.values()), self._drain_s)
        finally:
            await self._give_up(workers)

    async def _give_up(self, workers: dict[Subscription, Worker]) -> None:
        """Stop the handlers that did not finish, and say what was left."""
        for subscription, worker in workers.items():
            if left := subscription.abandon():
                structlog.get_logger().warning(
                    "events_dropped_at_close", subscriber=subscription.name, events=left
                )
            worker.abort()
        # A thread cannot be stopped: waiting for it again would only cost time.
        await _all_done([w for w in workers.values() if isinstance(w, LoopWorker)], _CANCEL_SECONDS)

    def _start(self, subscription: Subscription, loop: asyncio.AbstractEventLoop) -> None:
        worker: Worker
        if subscription.is_async:
            worker = LoopWorker(subscription, loop, self._loop_thread)
        else:
            worker = ThreadWorker(subscription, loop)
        self._subscriptions[subscription] = worker
        worker.start()

    def _route(self, kind: type[Event]) -> tuple[Counter, tuple[_Offer, ...]]:
        with self._lock:
            wanted = tuple(sub.offer for sub in self._subscriptions if issubclass(kind, sub.kinds))
            route = PUBLISHED.labels(kind.__name__), wanted
            self._routes[kind] = route
            return route


async def _all_done(workers: list[Worker], seconds: float) -> None:
    pending = [worker.done() for worker in workers]
    if pending:
        await asyncio.wait(pending, timeout=seconds)


def _problem(status: SubscriptionStatus) -> str:
    """What an operator should know of a subscription; "" when all is well."""
    if status.stuck:
        return f"subscriber '{status.name}' has been with one event for {status.busy_s:.0f} s"
    if status.failing:
        return f"subscriber '{status.name}' fails: {status.reason}"
    if status.dropped_ago_s is not None and status.dropped_ago_s < DROPS_SHOW_SECONDS:
        return f"subscriber '{status.name}' is too slow; {status.dropped} events were dropped"
    return ""


FILE = "audit.jsonl"
LOCK = "audit.lock"
_PRIVATE = 0o600
_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT


class AuditLog:
    """Writes who did what, for which run, with what outcome.

    Several processes may write to one folder. An error of the disk ends at the
    event bus, which counts it and shows it in the health.

    Args:
        folder: Where `audit.jsonl` stands, with `audit.jsonl.1` for the one before.
        max_bytes: Size of one file.
        files: Files that are kept, the current one too.
    """

    def __init__(self, folder: Path, *, max_bytes: int, files: int) -> None:
        self._folder = folder
        self._path = folder / FILE
        # Each event is written at once: the names are not put together for each.
        self._name, self._lock = str(self._path), str(folder / LOCK)
        self._max_bytes = max_bytes
        self._files = files

    def subscribe_to(self, bus: EventBus) -> Subscription:
        """Write every event of the bus from now on."""
        return bus.subscribe(Event, self.write, name="audit")

    def write(self, event: Event) -> None:
        """Append one line.

        Raises:
            OSError: The folder or the disk takes no more; nothing of the line is left.
        """
        line = _line(event)
        with self._alone():
            handle = self._opened(len(line))
            try:
                _append(handle, line)
            finally:
                os.close(handle)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process writes or rotates meanwhile."""
        try:
            handle = os.open(self._lock, os.O_WRONLY | os.O_CREAT, _PRIVATE)
        except (FileNotFoundError, NotADirectoryError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._lock, os.O_WRONLY | os.O_CREAT, _PRIVATE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _opened(self, more: int) -> int:
        """The file, with room for so many bytes more."""
        handle = os.open(self._name, _APPENDING, _PRIVATE)
        size = os.fstat(handle).st_size
        if not size or size + more <= self._max_bytes:
            return handle
        os.close(handle)
        self._rotate()
        return os.open(self._name, _APPENDING, _PRIVATE)

    def _rotate(self) -> None:
        kept = [self._path, *(self._path.with_name(f"{FILE}.{n}") for n in range(1, self._files))]
        kept[-1].unlink(missing_ok=True)
        for older, newer in zip(reversed(kept), list(reversed(kept))[1:], strict=False):
            if newer.exists():
                newer.replace(older)


def _append(handle: int, line: bytes) -> None:
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        # A process was killed in the middle of its line: begin on a new one.
        line = b"\n" + line
    written = os.write(handle, line)
    if written < len(line):
        os.ftruncate(handle, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(event: Event) -> bytes:
    ids = event.ids()
    entry = {
        "at": datetime.fromtimestamp(event.at, UTC).isoformat(),
        "who": ids.pop("user", ""),
        "what": event.what,
        "outcome": event.outcome,
        **ids,
        "details": event.details(),
    }
    return as_bytes(entry) + b"\n"
