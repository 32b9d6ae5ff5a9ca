"""Announcements over Redis, by docket: the ids of due tasks, for the workers of other machines.

What it loses is only time: every worker also looks into the ledger by itself.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from core.task_queue.settings import TaskSettings

log = structlog.get_logger()

Look = Callable[[str], Awaitable[None]]

WAITING = 1_000
ANSWER_S = 2.0
REOPEN_S = 1.0
FLUSH_S = 1.0
CHECK_S = 0.25


class Announcer:
    """Opens by itself in the background and again after every failure.

    Args:
        look: Called with each id that is announced here; None in a process that only announces.
    """

    def __init__(self, settings: TaskSettings, look: Look | None) -> None:
        self._settings = settings
        self._look = look
        self._waiting: asyncio.Queue[tuple[str, str, float]] = asyncio.Queue(WAITING)
        self._work: asyncio.Task[None] | None = None
        self._silent_since: float | None = None
        self._is_open = False
        self._closing = False

    @property
    def carries(self) -> bool:
        """False while announcements may get nowhere."""
        return self._is_open and self._silent_since is None

    @property
    def silent_s(self) -> float | None:
        """For how many seconds it has not answered; None when it does."""
        return None if self._silent_since is None else time.monotonic() - self._silent_since

    def announce(self, task_id: str, attempt: int, due_at: float) -> None:
        """Announce the task for the time when it is due. Never waits, never fails."""
        with suppress(asyncio.QueueFull):
            # One announcement per attempt: docket drops a second one with the same key.
            self._waiting.put_nowait((task_id, f"{task_id}.{attempt}", due_at))

    def open(self) -> None:
        self._work = asyncio.create_task(self._keep_open(), name="task announcer")

    async def flush(self) -> None:
        """Wait a moment for announcements that are on their way."""
        if self.carries:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.join(), FLUSH_S)

    def stop(self) -> None:
        """Hear no more."""
        self._closing = True
        if self._work is not None:
            self._work.cancel()

    async def close(self, *, limit_s: float) -> None:
        """After `stop`: returns when every look that has begun is over, or after `limit_s`."""
        if self._work is None:
            return
        _, still = await asyncio.wait({self._work}, timeout=limit_s)
        if still:  # a Redis that hangs, say
            log.warning("task_queue_hangs_at_close")
            self._work.cancel()
            await asyncio.wait({self._work}, timeout=FLUSH_S)

    async def _keep_open(self) -> None:
        # In a thread, because importing it takes most of a second.
        docket = await asyncio.to_thread(importlib.import_module, "docket")
        # It reports each lost connection with a stack; `_silent` and `_answers` say it once.
        logging.getLogger("docket").setLevel(logging.CRITICAL)
        # The flag, because an error on the way out would swallow the cancellation.
        while not self._closing:
            try:
                await self._serve(docket)
            except Exception as error:  # noqa: BLE001 - whatever fails in there, the ledger has the tasks
                self._silent(error)
            finally:
                self._is_open = False
            if not self._closing:
                await asyncio.sleep(REOPEN_S)

    async def _serve(self, docket: Any) -> None:
        settings = self._settings
        async with docket.Docket(
            name=settings.namespace, url=settings.url, execution_ttl=timedelta(0)
        ) as opened:
            opened.register(self._heard, names=["look"])
            async with asyncio.TaskGroup() as group:
                group.create_task(self._announce_all(opened))
                group.create_task(self._watch(opened))
                if self._look is not None:
                    group.create_task(self._listen(docket, opened))
                self._is_open = True

    async def _heard(self, task_id: str) -> None:
        if self._look is not None:
            await self._look(task_id)

    async def _listen(self, docket: Any, opened: Any) -> None:
        worker = _without_pubsub(docket.Worker)(
            opened,
            name=uuid.uuid4().hex,
            concurrency=self._settings.concurrency,
            redelivery_timeout=timedelta(seconds=self._settings.lease_s),
            reconnection_delay=timedelta(seconds=REOPEN_S),
            minimum_check_interval=timedelta(seconds=CHECK_S),
            scheduling_resolution=timedelta(seconds=CHECK_S),
            schedule_automatic_tasks=False,
        )
        async with worker:
            await worker.run_forever()

    async def _announce_all(self, opened: Any) -> None:
        while True:
            task_id, key, due_at = await self._waiting.get()
            try:
                async with asyncio.timeout(ANSWER_S):
                    when = datetime.fromtimestamp(due_at, UTC)
                    await opened.add("look", when=when, key=key)(task_id)
            except Exception as error:  # noqa: BLE001 - the driver's own errors, a dozen kinds
                self._silent(error)
            finally:
                self._waiting.task_done()

    async def _watch(self, opened: Any) -> None:
        """Ask Redis now and then whether it is there."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_S), opened.redis() as redis:
                    await redis.ping()
                self._answers()
            except Exception as error:  # noqa: BLE001 - the driver's own errors, a dozen kinds
                self._silent(error)
            await asyncio.sleep(min(self._settings.poll_s, ANSWER_S))

    def _silent(self, error: Exception) -> None:
        if self._silent_since is None:
            self._silent_since = time.monotonic()
            log.warning("task_queue_silent", reason=type(error).__name__)

    def _answers(self) -> None:
        if self._silent_since is not None:
            self._silent_since = None
            log.info("task_queue_answers")


def _without_pubsub(kind: Any) -> Any:
    """A worker of docket's that does not listen for wishes to cancel: ours are in the ledger.

    It would read its subscription in a loop that comes back at once, without ever waiting, when the system
    has given up a connection whose host vanished (ETIMEDOUT): redis-py takes that for "nothing came in time".
    Nothing else of the process would happen any more.
    """

    class Quiet(kind):  # type: ignore[misc]  # imported when it is needed
        async def _cancellation_listener(self) -> None:
            session = self._processing_session
            session.cancellation_ready.set()
            await session.stopping.wait()

    return Quiet
