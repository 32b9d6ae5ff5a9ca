"""`waystation storage`: what threads take, for whoever runs the service."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli import JsonFlag, command, make_app, print_fields, short, show

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio.engine import AsyncEngine

    from core.settings import Book
    from nodes.file_storage.ports import FileStore

storage = make_app("storage")
SIZES = ("checkpoints", "values", "transcript", "runs", "files", "total")
COLUMNS = ("thread", "owner", "title", "turns", "checkpoints", "state", *SIZES[1:-1], "all")
TITLE_LETTERS = 30


@storage.command("top")
@command
async def top_command(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Threads to show.")] = 20,
    files: Annotated[bool, typer.Option(help="Count files too; that lists every owner's files.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """The threads that take most, and what all take together."""
    from graph.threads.sizes import measure

    async with opened() as (engine, store):
        sizes = await measure(engine, store if files else None)
    shown, totals = sizes.threads[:limit], sizes.totals()
    found: dict[str, Any] = {"threads": [thread.as_json() for thread in shown], "totals": totals}
    show(found, as_json=as_json, table=COLUMNS, rows=list(map(_row, found["threads"])), empty="no threads")
    if not as_json:
        print_fields(_summary(totals))


@storage.command("rows")
@command
async def rows_command(*, as_json: JsonFlag = False) -> None:
    """How many rows each table that grows has, since when, and what bounds it."""
    from core.settings.platform import ThreadSettings
    from graph.threads.retention import rows_by_table

    async with opened_database_of() as (engine, book):
        found = await rows_by_table(engine, book[ThreadSettings])
    rows = [[one.table, one.rows, _day(one.oldest), one.bound or "deleting them"] for one in found]
    columns = ("table", "rows", "oldest", "bounded by")
    show([one.as_json() for one in found], as_json=as_json, table=columns, rows=rows)


def _day(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).date().isoformat()


@asynccontextmanager
async def opened_database_of() -> AsyncIterator[tuple[AsyncEngine, Book]]:
    """The database of this configuration, and the sections of the platform."""
    from core.database.engine import database_url
    from core.settings import Context, read_book
    from core.settings.platform import SECTIONS, StorageSettings
    from graph.db.database import opened_database

    context = Context.current()
    book = read_book(SECTIONS, (), context, partial=True)
    async with opened_database(database_url(book[StorageSettings], context.places)) as engine:
        yield engine, book


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[AsyncEngine, FileStore]]:
    """Database and files of this configuration; nothing else is started."""
    from core.container import opened_service
    from core.database.engine import database_url
    from core.settings import Book, Places
    from core.settings.platform import StorageSettings
    from graph.db.database import opened_database
    from nodes.file_storage.module import MODULE
    from nodes.file_storage.ports import FileStore

    async with opened_service(MODULE, Book) as (book, container):
        places = await container.get(Places)
        async with opened_database(database_url(book[StorageSettings], places)) as engine:
            yield engine, await container.get(FileStore)


def _row(thread: dict[str, Any]) -> list[object]:
    about = [thread["thread_id"], thread["owner"] or "(deleted)", short(thread["title"], TITLE_LETTERS)]
    sizes = [size(thread["bytes"][kind]) for kind in SIZES]
    return [*about, thread["turns"], thread["checkpoints"], *sizes]


def _summary(totals: dict[str, Any]) -> dict[str, object]:
    kinds = ", ".join(f"{kind} {size(taken)}" for kind, taken in totals["bytes"].items() if kind != "total")
    free = "" if totals["free_bytes"] is None else f", {size(totals['free_bytes'])} of it free"
    return {
        "all": f"{totals['threads']} threads, {size(totals['bytes']['total'])} ({kinds})",
        "database": f"{size(totals['database_bytes'])} on disk{free}",
    }


def size(count: float) -> str:
    """Bytes as people read them: 1.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
