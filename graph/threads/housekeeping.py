"""What the service does for threads, whoever they belong to: titles, and the end of what is old."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.database.engine import now_of
from core.database.outage import uninterrupted
from core.errors import WaystationError
from core.events import EventBus
from core.settings.platform import ThreadSettings
from core.task_queue import Task, TaskContext, TaskQueue
from core.task_queue.task import NoArguments
from graph.db.partitions import drop_over, make_ahead, outside, partitions
from graph.db.tables import named, receipts, run_events, runs, threads, transcript
from graph.runs.announcements import TurnFinished
from graph.runs.lease import title_from
from graph.threads.history.erase import GOING
from graph.threads.history.owning import HIDDEN
from graph.threads.retention import RunRetention
from graph.threads.threads import Threads
from nodes.llm import LLMCaller, LLMRequest

Opening = tuple[str, str]


class ThreadUpkeep:
    """Titles for new threads, and the end of old ones."""

    def __init__(self, engine: AsyncEngine, threads: Threads) -> None:
        self._engine = engine
        self._threads = threads

    async def untitled(self, thread_id: str) -> str:
        """The first message of a thread that still has its first line for a title; "" for any other."""
        message = (
            select(transcript.c.text)
            .where(transcript.c.thread_id == thread_id, transcript.c.role == "user")
            .order_by(transcript.c.seq)
            .limit(1)
        )
        async with self._engine.connect() as db:
            title = (await db.execute(select(threads.c.title).where(threads.c.id == thread_id))).scalar()
            first = (await db.execute(message)).scalar()
        return str(first) if first and title == title_from(first) else ""

    @uninterrupted
    async def suggest(self, thread_id: str, title: str, *, instead_of: str) -> None:
        """Give the thread a title, unless its owner gave it another than `instead_of` meanwhile."""
        unchanged = (threads.c.id == thread_id) & (threads.c.title == instead_of)
        async with self._engine.begin() as db:
            await db.execute(update(threads).where(unchanged).values(**named(title=title)))

    async def unused(self, since: float, *, limit: int) -> list[tuple[Principal, str]]:
        """Threads without a run that were last used before `since` (epoch seconds), with their owners."""
        return await self._idle(threads.c.updated_at < since, limit)

    async def expired(self, *, limit: int) -> list[tuple[Principal, str]]:
        """The same of those that were to be kept for a time that is over."""
        until = threads.c.updated_at + threads.c.keep_minutes * 60
        over = threads.c.keep_minutes.is_not(None) & (until < now_of(self._engine))
        return await self._idle(over, limit)

    async def _idle(self, old: ColumnElement[bool], limit: int) -> list[tuple[Principal, str]]:
        busy = exists().where(runs.c.thread_id == threads.c.id, runs.c.status.in_(GOING))
        shown = ~threads.c.owner.startswith(HIDDEN, autoescape=True)
        query = (
            select(threads.c.owner, threads.c.id)
            .where(old, threads.c.run_id.is_(None), shown, ~busy)
            .order_by(threads.c.updated_at)
            .limit(limit)
        )
        async with self._engine.connect() as db:
            return [(Principal(owner), thread_id) for owner, thread_id in await db.execute(query)]

    async def delete(self, owner: Principal, thread_id: str) -> None:
        """Delete a thread with all that belongs to it. Raises what `Threads.delete` raises."""
        await self._threads.delete(owner, thread_id)

    async def sweep(self, before: float) -> int:
        """Finish deletions that something interrupted before then; tells how many there were."""
        return await self._threads.eraser.sweep(before)

    @uninterrupted
    async def forget_runs(self, ended_before: float) -> None:
        """Remove the events of runs that ended before then, and the receipts of their tool calls.

        On PostgreSQL they go by the partition, which may be a quarter of the time later than asked for. A
        run's row stays, with its output. Receipts of a thread whose last turn
        had no clean end stay too: the next turn answers its open calls from them.
        """
        over = (runs.c.ended_at < ended_before) & runs.c.status.not_in((*GOING, "interrupted"))
        ended = select(runs.c.id).where(over)
        torn = exists().where(threads.c.id == receipts.c.thread_id, threads.c.dirty)
        await drop_over(self._engine, over, ended_before)
        async with self._engine.begin() as db:
            # The others wait for the end of their partition; one of a run that still waits is emptied so.
            kept = [one for one in await partitions(db) if one.until > ended_before]
            await db.execute(delete(run_events).where(run_events.c.run_id.in_(ended), outside(kept)))
            await db.execute(delete(receipts).where(receipts.c.run_id.in_(ended), ~torn))


log = structlog.get_logger(__name__)

HOUR = 3_600.0
DAY = 24 * HOUR
BATCH = 50
TITLE_LETTERS = 80
READ_LETTERS = 2000
ASK_FOR_TITLE = (
    "Write a title of at most six words for a conversation that begins with the message below. "
    "Answer with the title alone, in the language of the message.\n\n"
)


class TitleThread(BaseModel):
    """Arguments of `title_thread`: the thread, and the model that answered in it."""

    thread_id: str = Field(max_length=64)
    model: str = Field(max_length=200)


class Titles:
    """Queues `title_thread` when a thread has had its first answer."""

    def __init__(self, queue: TaskQueue, upkeep: ThreadUpkeep) -> None:
        self._queue = queue
        self._upkeep = upkeep

    def subscribe_to(self, bus: EventBus) -> None:
        bus.subscribe(TurnFinished, self._consider, name="titles")

    async def _consider(self, event: TurnFinished) -> None:
        thread_id = event.by.thread_id
        if event.status == "done" and await self._upkeep.untitled(thread_id):
            arguments = TitleThread(thread_id=thread_id, model=event.model)
            await self._queue.add("title_thread", arguments, owner=self._queue.system, key=thread_id)


async def title_thread(arguments: TitleThread, context: TaskContext) -> None:
    """Ask the thread's own model, which has seen the message anyway, unless the person chose a title."""
    upkeep, llm = await context.container.get(ThreadUpkeep), await context.container.get(LLMCaller)
    first = await upkeep.untitled(arguments.thread_id)
    if not first:
        return
    message = HumanMessage(ASK_FOR_TITLE + first[:READ_LETTERS])
    answer = await llm.call(LLMRequest(arguments.model, [message]))
    title = " ".join(answer.text.split()).strip("\"'“”«». ")[:TITLE_LETTERS]
    if title:
        await upkeep.suggest(arguments.thread_id, title, instead_of=title_from(first))


async def _now(context: TaskContext) -> float:
    """By the clock of what is looked through: a machine whose own is wrong must not delete for it."""
    return now_of(await context.container.get(AsyncEngine))


async def clean_threads(_: NoArguments, context: TaskContext) -> None:
    """Delete threads that nobody used for `threads.keep_days`, and finish deletions that were cut short."""
    settings = await context.container.get(ThreadSettings)
    upkeep = await context.container.get(ThreadUpkeep)
    if settings.keep_days:
        await _delete_unused(settings, upkeep, context)
    await upkeep.sweep(await _now(context) - HOUR)


async def _delete_unused(settings: ThreadSettings, upkeep: ThreadUpkeep, context: TaskContext) -> None:
    since = await _now(context) - settings.keep_days * DAY
    await _delete_each(lambda: upkeep.unused(since, limit=BATCH), upkeep, context)


async def clean_expired(_: NoArguments, context: TaskContext) -> None:
    """Delete threads that their owners wanted for a time that is over."""
    upkeep = await context.container.get(ThreadUpkeep)
    await _delete_each(lambda: upkeep.expired(limit=BATCH), upkeep, context)


async def _delete_each(
    find: Callable[[], Awaitable[list[tuple[Principal, str]]]], upkeep: ThreadUpkeep, context: TaskContext
) -> None:
    gone, left = 0, True
    while left:
        before = gone
        for owner, thread_id in await find():
            try:
                await upkeep.delete(owner, thread_id)
                gone += 1
            except WaystationError as error:
                log.warning("old_thread_not_deleted", thread_id=thread_id, code=error.code)
        left = gone > before
        await context.progress(gone, message="threads deleted")


async def forget_runs(_: NoArguments, context: TaskContext) -> None:
    """Forget what runs told that ended long ago; their replies and the transcript stay."""
    settings = await context.container.get(ThreadSettings)
    await make_ahead(await context.container.get(AsyncEngine), settings.keep_events_hours)
    upkeep = await context.container.get(ThreadUpkeep)
    await upkeep.forget_runs(await _now(context) - settings.keep_events_hours * HOUR)


async def forget_run_rows(_: NoArguments, context: TaskContext) -> None:
    """Forget runs that ended `threads.keep_runs_days` ago; what was said stays in the transcript."""
    settings = await context.container.get(ThreadSettings)
    if not settings.keep_runs_days:
        return
    retention = RunRetention(await context.container.get(AsyncEngine))
    before, gone = await _now(context) - settings.keep_runs_days * DAY, 0
    while found := await retention.forget(before):
        gone += found
        await context.progress(gone, message="runs forgotten")


async def forget_tasks(_: NoArguments, context: TaskContext) -> None:
    """Forget background tasks that ended long ago."""
    settings = await context.container.get(ThreadSettings)
    queue = await context.container.get(TaskQueue)
    await queue.prune(await _now(context) - settings.keep_tasks_days * DAY)


TASKS: tuple[Task[Any], ...] = (
    Task("title_thread", TitleThread, title_thread, attempts=2, deadline_s=60),
    Task("clean_threads", NoArguments, clean_threads, deadline_s=3600, cron="37 * * * *"),
    Task("clean_expired", NoArguments, clean_expired, deadline_s=3600, cron="*/5 * * * *"),
    Task("forget_runs", NoArguments, forget_runs, deadline_s=3600, cron="22 * * * *"),
    Task("forget_run_rows", NoArguments, forget_run_rows, deadline_s=3600, cron="41 3 * * *"),
    Task("forget_tasks", NoArguments, forget_tasks, cron="7 * * * *"),
)
