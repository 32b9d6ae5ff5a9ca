"""Read an exported thread: every line is checked, and nothing is kept of one that is not whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.database.engine import insert_new, now_of
from core.database.outage import finished, uninterrupted
from core.errors import Conflict, InvalidInput, TooLarge
from graph.db.tables import named, said, threads, transcript
from graph.runs.lease import new_id, new_thread
from graph.runs.rows import ThreadTotals
from graph.threads.history.erase import Eraser
from graph.threads.history.errors import ExportInvalid
from graph.threads.history.forms import (
    EndLine,
    FileLine,
    Lines,
    MessageLine,
    StateLine,
    ThreadLine,
    WindowLine,
    content_of,
    message_from_json,
    problem_in,
)
from graph.threads.history.owning import COMING, hidden
from graph.threads.history.restore import Restorer
from graph.threads.history.search import checked_tags
from graph.threads.transcript import Transcript
from nodes.file_storage import FileInfo, FileManager

MOST_MESSAGES = 200_000
WINDOW_BYTES = 64 * 1024 * 1024
BATCH = 100


@dataclass(slots=True)
class Coming:
    """A thread on its way in. `files` are those stored, by the key that they had."""

    thread_id: str
    files: dict[str, FileInfo] = field(default_factory=dict)
    window: list[BaseMessage] = field(default_factory=list)
    window_bytes: int = 0
    messages: int = 0
    users: int = 0
    last_user: str = ""


class Importer:
    """Makes threads of exported ones."""

    def __init__(
        self,
        engine: AsyncEngine,
        transcript: Transcript,
        files: FileManager,
        restorer: Restorer,
        eraser: Eraser,
        *,
        totals: ThreadTotals | None = None,
    ) -> None:
        self._engine = engine
        self._totals = totals
        self._transcript = transcript
        self._files = files
        self._restorer = restorer
        self._eraser = eraser

    async def take_in(
        self, principal: Principal, chunks: AsyncIterator[bytes], *, most_bytes: int | None = None
    ) -> str:
        """Make a thread of the principal from the lines; until it is whole, it exists for nobody.

        Returns:
            The id of the new thread.

        Raises:
            ExportInvalid: A line is not what it should be.
            TooLarge: There is too much of it.
        """
        lines = Lines(chunks, most_bytes=most_bytes)
        head = await lines.take(ThreadLine)
        tags = _tags(head, lines)
        coming = Coming(new_id("t"))
        await self._hide(principal, coming.thread_id)
        try:
            state = await self._read(principal, lines, coming)
            values = {
                **named(title=head.title, tags=tags),
                "created_at": min(head.created_at.timestamp(), now_of(self._engine)),
            }
            await self._settle(principal, coming, state, values)
        except BaseException:
            await finished(self._eraser.finish(principal, coming.thread_id))
            raise
        return coming.thread_id

    async def _read(self, principal: Principal, lines: Lines, coming: Coming) -> StateLine:
        while isinstance(await lines.next(), FileLine):
            await self._store_file(principal, lines, coming)
        while isinstance(await lines.next(), MessageLine):
            await self._store_messages(await self._batch(lines, coming), coming)
        while isinstance(await lines.next(), WindowLine):
            _add_to_window(await lines.take(WindowLine), lines, coming)
        state = await lines.take(StateLine)
        end = await lines.take(EndLine)
        found = (coming.messages, len(coming.files), len(coming.window))
        if found != (end.messages, end.files, end.window):
            raise ExportInvalid(
                lines.number, "the counts are not those of the lines before; some are missing"
            )
        await lines.finish()
        return state

    async def _store_file(self, principal: Principal, lines: Lines, coming: Coming) -> None:
        line = await lines.take(FileLine)
        number = lines.number
        if line.key in coming.files:
            raise ExportInvalid(number, f"file '{line.key}' comes a second time")
        info = await self._files.put(
            principal,
            line.name,
            content_of(lines),
            media_type=line.media_type,
            origin=line.origin,
            thread=coming.thread_id,
            tags=line.tags,
        )
        coming.files[line.key] = info
        if (info.size, info.etag) != (line.size, line.etag):
            raise ExportInvalid(number, f"the content of file '{line.key}' is not what it was")

    async def _batch(self, lines: Lines, coming: Coming) -> list[tuple[int, dict[str, Any]]]:
        found: list[tuple[int, dict[str, Any]]] = []
        while len(found) < BATCH and isinstance(await lines.next(), MessageLine):
            line = await lines.take(MessageLine)
            found.append((lines.number, _row(line, coming)))
        return found

    @uninterrupted
    async def _store_messages(self, rows: Sequence[tuple[int, dict[str, Any]]], coming: Coming) -> None:
        async with self._engine.begin() as db:
            for number, row in rows:
                coming.messages += 1
                if coming.messages > MOST_MESSAGES:
                    raise TooLarge(f"line {number}: more than {MOST_MESSAGES} messages")
                if not await insert_new(db, transcript, row):
                    raise ExportInvalid(number, f"message '{row['message_id']}' comes a second time")

    async def _settle(
        self, principal: Principal, coming: Coming, state: StateLine, values: dict[str, Any]
    ) -> None:
        refs = [
            {**info.as_ref(), "thread": coming.thread_id}
            for key in state.files
            if (info := coming.files.get(key)) is not None
        ]
        stands = await self._restorer.write(
            coming.thread_id, coming.window, files=refs, summary=state.summary
        )
        ids = {message.id for message in coming.window}
        made_up = [m for m in stands if isinstance(m, ToolMessage) and m.id not in ids]
        await self._transcript.append(coming.thread_id, "", made_up)
        lost = bool(coming.last_user) and coming.last_user not in ids
        await self._show(
            principal,
            coming.thread_id,
            {**values, "turns": coming.users, "dirty": state.unfinished or lost},
        )

    @uninterrupted
    async def _hide(self, principal: Principal, thread_id: str) -> None:
        row = {
            **new_thread(thread_id, principal, "", now=now_of(self._engine)),
            "status": COMING,
            "owner": hidden(principal.id),
        }
        async with self._engine.begin() as db:
            await db.execute(insert(threads).values(**row))
            if self._totals:  # behind the write: see Forks
                await self._totals.hold(db, principal.id, more=1)

    @uninterrupted
    async def _show(self, principal: Principal, thread_id: str, values: dict[str, Any]) -> None:
        mine = (threads.c.id == thread_id) & (threads.c.owner == hidden(principal.id))
        shown = {"owner": principal.id, "status": "idle", "updated_at": now_of(self._engine), **values}
        async with self._engine.begin() as db:
            if not (await db.execute(update(threads).where(mine).values(**shown))).rowcount:
                raise Conflict("the import took so long that it was cleaned up; send it again")


def _tags(head: ThreadLine, lines: Lines) -> list[str]:
    try:
        return checked_tags(head.tags)
    except InvalidInput as error:
        raise ExportInvalid(lines.number, error.detail) from None


def _row(line: MessageLine, coming: Coming) -> dict[str, Any]:
    if line.role == "user":
        coming.users += 1
        coming.last_user = line.id
    return {
        "thread_id": coming.thread_id,
        "message_id": line.id,
        "role": line.role,
        **said(line.text),
        "extra": with_new_keys(line.extra, coming.files),
        "run_id": None,
        "created_at": line.created_at.timestamp(),
    }


def _add_to_window(line: WindowLine, lines: Lines, coming: Coming) -> None:
    coming.window_bytes += lines.size
    if coming.window_bytes > WINDOW_BYTES:
        raise TooLarge(f"line {lines.number}: the state has more than {WINDOW_BYTES} bytes")
    try:
        coming.window.append(message_from_json(with_new_keys(line.message, coming.files)))
    except ValueError as error:
        raise ExportInvalid(lines.number, problem_in(error)) from None


def with_new_keys(value: Any, files: dict[str, FileInfo]) -> Any:
    """The value with the keys that its files have now, wherever a file is named by `key` or in `files`."""
    if isinstance(value, list):
        return [with_new_keys(item, files) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, item in value.items():
        if name == "key" and isinstance(item, str):
            found[name] = _new_key(item, files)
        elif name == "files" and isinstance(item, list):
            found[name] = [
                _new_key(i, files) if isinstance(i, str) else with_new_keys(i, files) for i in item
            ]
        else:
            found[name] = with_new_keys(item, files)
    return found


def _new_key(key: str, files: dict[str, FileInfo]) -> str:
    return files[key].key if key in files else key
