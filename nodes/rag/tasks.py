"""What retrieval does in the background: a source whose entry changed, and the look for changed files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from core.task_queue.task import NoArguments, Task, TaskContext

if TYPE_CHECKING:
    from nodes.rag.client import RAGClient
    from nodes.rag.models import Progress

INDEX = "index_source"
_HOURS = 3600.0


class IndexSource(BaseModel):
    """Arguments of `index_source`: the name of a local source."""

    source: str = Field(max_length=64)


async def _client(context: TaskContext) -> RAGClient:
    from nodes.rag.client import RAGClient  # noqa: PLC0415 - every command loads the declaration

    return await context.container.get(RAGClient)


async def index_source(arguments: IndexSource, context: TaskContext) -> None:
    """Bring the index of one local source up to date. What an attempt has indexed, the next need not."""
    rag = await _client(context)
    if not await rag.sharing.of(arguments.source):
        return  # its index is written by another home, which sees by itself what has changed
    async with _reporting(context) as progress:
        await rag.ingest(arguments.source, progress=progress)


async def refresh_sources(_: NoArguments, context: TaskContext) -> None:
    """Index the files of local sources that changed, unless rag.refresh is off."""
    rag = await _client(context)
    async with _reporting(context) as progress:
        await rag.refresh(progress)


@asynccontextmanager
async def _reporting(context: TaskContext) -> AsyncIterator[Progress]:
    """A progress function that never waits; the ledger hears the last word of it."""
    from nodes.rag.models import VECTORS  # noqa: PLC0415 - every command loads the declaration

    said: list[tuple[int, int, str]] = []
    news = asyncio.Event()

    def say(done: int, total: int, name: str) -> None:
        said[:] = [(done, total, VECTORS if name == VECTORS else "files")]
        news.set()

    async def tell() -> None:
        while True:
            await news.wait()
            news.clear()
            await context.progress(*said[0])

    telling = asyncio.create_task(tell())
    try:
        yield say
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    if said:
        await context.progress(*said[0])


TASKS: tuple[Task[Any], ...] = (
    Task(INDEX, IndexSource, index_source, attempts=5, backoff_s=10, deadline_s=6 * _HOURS),
    # Quarter past is quarter past: what one look could not do, the next one will.
    Task(
        "refresh_sources",
        NoArguments,
        refresh_sources,
        attempts=1,
        deadline_s=6 * _HOURS,
        cron="*/15 * * * *",
    ),
)
