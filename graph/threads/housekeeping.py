"""What is done for threads in the background: titles, and the end of old ones."""

from __future__ import annotations

from typing import Any

import structlog
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import now_of
from core.errors import WaystationError
from core.events import EventBus
from core.settings.platform import ThreadSettings
from core.task_queue import Task, TaskContext, TaskQueue
from core.task_queue.task import NoArguments
from graph.runs.announcements import TurnFinished
from graph.runs.new_threads import title_from
from graph.threads.upkeep import ThreadUpkeep
from nodes.llm import LLMCaller, LLMRequest

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
    since, gone, left = await _now(context) - settings.keep_days * DAY, 0, True
    while left:
        before = gone
        for owner, thread_id in await upkeep.unused(since, limit=BATCH):
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
    upkeep = await context.container.get(ThreadUpkeep)
    await upkeep.forget_runs(await _now(context) - settings.keep_events_hours * HOUR)


async def forget_tasks(_: NoArguments, context: TaskContext) -> None:
    """Forget background tasks that ended long ago."""
    settings = await context.container.get(ThreadSettings)
    queue = await context.container.get(TaskQueue)
    await queue.prune(await _now(context) - settings.keep_tasks_days * DAY)


TASKS: tuple[Task[Any], ...] = (
    Task("title_thread", TitleThread, title_thread, attempts=2, deadline_s=60),
    Task("clean_threads", NoArguments, clean_threads, deadline_s=3600, cron="37 * * * *"),
    Task("forget_runs", NoArguments, forget_runs, deadline_s=3600, cron="22 * * * *"),
    Task("forget_tasks", NoArguments, forget_tasks, cron="7 * * * *"),
)
