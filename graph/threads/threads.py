"""A person's threads: list, look, change, fork, search, take out and bring in, delete.

Somebody else's do not exist.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy import select, tuple_, update
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal, owner_seen_by
from core.cursor import cursor, is_cursor, place_of
from core.database.engine import insert_new, now_of
from core.database.outage import uninterrupted
from core.errors import InvalidInput
from graph.db.tables import folded_title, named, threads
from graph.flow.state import time_of
from graph.runs.lease import Leases, check_id, new_id, new_thread
from graph.runs.names import renewed_question
from graph.runs.rows import ThreadTotals
from graph.threads.asking import Questions
from graph.threads.finder import ThreadFinder, checked_notes
from graph.threads.history.erase import Eraser
from graph.threads.history.errors import CheckpointNotFound
from graph.threads.history.export import Exporter, Markdown
from graph.threads.history.fork import Forks
from graph.threads.history.importing import Importer
from graph.threads.history.line import CheckpointHistory
from graph.threads.history.look import checkpoint_view, difference, id_before, id_of, snapshot_at, state_view
from graph.threads.history.owning import owned_row
from graph.threads.history.restore import Restorer
from graph.threads.history.search import Search, checked_tags, tagged
from graph.threads.history.seeding import as_lines
from graph.threads.transcript import Transcript
from nodes.file_storage import FileManager

__all__ = ["PAGE", "STATUSES", "Threads", "check_id", "new_id"]

Listed = list[dict[str, Any]]

STATUSES = ("idle", "running", "interrupted", "failed")
PAGE = 200
MOST_MINUTES = 5_256_000
CURSOR = "thread"
TITLE_LETTERS = 200


class Threads:
    """Threads of the database at `engine`, their checkpoints in `graph`."""

    def __init__(
        self,
        engine: AsyncEngine,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        transcript: Transcript,
        files: FileManager,
        leases: Leases,
        *,
        totals: ThreadTotals | None = None,
    ) -> None:
        self._engine = engine
        self._totals = totals
        self._graph = graph
        self._transcript = transcript
        restorer = Restorer(engine, graph, leases)
        self._forks = Forks(engine, graph, restorer, totals)
        self._search = Search(engine)
        self.finder = ThreadFinder(engine, _view)
        self.questions = Questions(engine)
        self.checkpoints = CheckpointHistory(engine, graph, transcript)
        self._exporter = Exporter(graph, transcript, files)
        self._markdown = Markdown(transcript)
        self.eraser = Eraser(engine, files)
        self._importer = Importer(engine, transcript, files, restorer, self.eraser, totals=totals)

    async def list(
        self,
        principal: Principal,
        *,
        status: str | None = None,
        q: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Listed:
        """The principal's threads, the last used first.

        Args:
            status: One of idle, running, interrupted, failed.
            q: Only titles that contain this.
            tag: Only threads that have it.
            limit: 1 to 200.
            after: `cursor` of the last thread of the page before: a place, which holds when that thread is
                used or deleted meanwhile. Its id will do where it has stayed as it was.
        """
        query = select(threads).where(threads.c.owner == owner_seen_by(principal))
        if status is not None:
            if status not in STATUSES:
                raise InvalidInput(f"no status '{status}'; one of {', '.join(STATUSES)}")
            query = query.where(threads.c.status == status)
        if q:
            query = query.where(
                threads.c.title_folded.contains(folded_title(_storable(q, "q")), autoescape=True)
            )
        if tag:
            query = query.where(tagged(tag))
        if after is not None:
            place = tuple_(threads.c.updated_at, threads.c.id)
            query = query.where(place < await self._place(principal, after))
        query = query.order_by(threads.c.updated_at.desc(), threads.c.id.desc()).limit(_page(limit))
        async with self._engine.connect() as db:
            rows = (await db.execute(query)).mappings().all()
        return [{**_view(row), "cursor": cursor(CURSOR, row["updated_at"], row["id"])} for row in rows]

    async def _place(self, principal: Principal, after: str) -> tuple[float, str]:
        if is_cursor(after):
            return place_of(CURSOR, after)
        last = await self._row(principal, after)
        return last["updated_at"], last["id"]

    @uninterrupted
    async def create(
        self,
        principal: Principal,
        *,
        thread_id: str | None = None,
        title: str = "",
        notes: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A new, empty thread; one that the principal has already is given back as it is."""
        key = check_id(thread_id) if thread_id else new_id("t")
        noted = {"metadata": checked_notes(notes)} if notes else {}
        row = {**new_thread(key, principal, _title(title), now=now_of(self._engine)), "tags": [], **noted}
        async with self._engine.begin() as db:
            if await insert_new(db, threads, row) and self._totals:
                await self._totals.hold(db, principal.id)
        return await self.get(principal, key)

    async def get(self, principal: Principal, thread_id: str) -> dict[str, Any]:
        return _view(await self._row(principal, thread_id))

    @uninterrupted
    async def change(
        self,
        principal: Principal,
        thread_id: str,
        *,
        title: str | None = None,
        tags: Sequence[str] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Give the thread another title, or other tags instead of those that it has.

        Args:
            tags: At most 20, of 1 to 40 characters each.
            notes: What clients note about it, as JSON; added to what is noted already.

        Raises:
            InvalidInput: The title or a tag cannot be accepted.
        """
        new = named(
            title=None if title is None else _title(title), tags=None if tags is None else checked_tags(tags)
        )
        row = await self._row(principal, thread_id)
        if notes:
            new["metadata"] = checked_notes({**(row["metadata"] or {}), **notes})
        if new:
            mine = (threads.c.id == thread_id) & (threads.c.owner == principal.id)
            async with self._engine.begin() as db:
                await db.execute(update(threads).where(mine).values(**new))
        return await self.get(principal, thread_id)

    @uninterrupted
    async def keep(self, principal: Principal, thread_id: str, minutes: float) -> None:
        """Have the thread deleted when nobody has used it for so long.

        Raises:
            InvalidInput: No such time can be kept.
        """
        if not 0 < minutes <= MOST_MINUTES:
            raise InvalidInput(f"ttl: must be minutes, more than 0 and at most {MOST_MINUTES}")
        await self._row(principal, thread_id)
        mine = (threads.c.id == thread_id) & (threads.c.owner == principal.id)
        async with self._engine.begin() as db:
            await db.execute(update(threads).where(mine).values(keep_minutes=minutes))

    async def delete(self, principal: Principal, thread_id: str) -> None:
        """Remove the thread with all that belongs to it: messages, checkpoints, runs, the files of its tools.

        What the person uploaded stays theirs: it may go with other threads. A
        file that a fork needs goes with the last thread that needs it.

        Raises:
            ThreadNotFound: There is none.
            ThreadBusy: A run is going on it, or waits for its turn.
        """
        await self.eraser.delete(principal, thread_id)

    async def transcript(
        self, principal: Principal, thread_id: str, *, limit: int = 50, before: int | None = None
    ) -> dict[str, Any]:
        """Every message, page by page from the newest, oldest first within a page."""
        await self._row(principal, thread_id)
        return await self._transcript.page(thread_id, limit=_page(limit), before=before)

    async def state(
        self, principal: Principal, thread_id: str, *, checkpoint_id: str | None = None
    ) -> dict[str, Any]:
        """What a checkpoint of the thread holds, by default the newest.

        Raises:
            CheckpointNotFound: The thread has no such checkpoint.
        """
        await self._row(principal, thread_id)
        return state_view(await snapshot_at(self._graph, thread_id, checkpoint_id))

    async def history(
        self, principal: Principal, thread_id: str, *, limit: int = 10, before: str | None = None
    ) -> dict[str, Any]:
        """Checkpoints, newest first. `before` is the id of the last one of the page before."""
        await self._row(principal, thread_id)
        config: Any = {"configurable": {"thread_id": thread_id}}
        older: Any = (
            {"configurable": {"thread_id": thread_id, "checkpoint_id": check_id(before)}} if before else None
        )
        # Collected before anything else happens: a paused iterator blocks every thread on SQLite.
        found = [s async for s in self._graph.aget_state_history(config, before=older, limit=_page(limit))]
        return {
            "checkpoints": [checkpoint_view(snapshot) for snapshot in found],
            "before": id_of(found[-1]) if len(found) == limit else None,
        }

    async def diff(
        self,
        principal: Principal,
        thread_id: str,
        *,
        from_id: str | None = None,
        to_id: str | None = None,
        other: str | None = None,
    ) -> dict[str, Any]:
        """What differs between two checkpoints; by default between the newest and the one before it.

        Args:
            to_id: By default the newest.
            from_id: By default the one before `to_id`.
            other: Another thread, a fork say, to which `to_id` belongs; then
                `from_id` is by default the newest of the first.

        Raises:
            CheckpointNotFound: There is none, or only one.
        """
        await self._row(principal, thread_id)
        second = other or thread_id
        if other:
            await self._row(principal, other)
        newer = await self._existing(second, to_id)
        if from_id is None and other is None:
            from_id = id_before(newer)
            if from_id is None:
                raise CheckpointNotFound(thread_id, None)
        return difference(await self._existing(thread_id, from_id), newer)

    async def _existing(self, thread_id: str, checkpoint_id: str | None) -> Any:
        snapshot = await snapshot_at(self._graph, thread_id, checkpoint_id)
        if id_of(snapshot) is None:
            raise CheckpointNotFound(thread_id, None)
        # By its id: the newest one read without would show what its unfinished step has written so far.
        return await snapshot_at(self._graph, thread_id, id_of(snapshot))

    async def fork(
        self, principal: Principal, thread_id: str, *, checkpoint_id: str | None = None
    ) -> dict[str, Any]:
        """A new thread that goes on from a checkpoint of this one, by default from where it is now.

        Raises:
            CheckpointNotFound: The thread has no such checkpoint.
        """
        return await self.get(principal, await self._forks.at(principal, thread_id, checkpoint_id))

    async def fork_before(self, principal: Principal, thread_id: str, message_id: str) -> dict[str, Any]:
        """A new thread that ends just before a message of the user, to say something else instead.

        Raises:
            MessageNotFound: The thread has no such message of its user.
        """
        return await self.get(principal, await self._forks.before(principal, thread_id, message_id))

    async def search(
        self, principal: Principal, q: str, *, limit: int = 20, after: int | None = None
    ) -> Listed:
        """Messages of the principal's threads that have every word of `q`, the newest first.

        Args:
            q: Words; "in quotes" those that stand together, berth* for every ending.
            after: `seq` of the last hit of the page before.
        """
        return await self._search.find(principal, _storable(q, "q"), limit=_page(limit), after=after)

    async def export(
        self, principal: Principal, thread_id: str, *, form: str = "jsonl"
    ) -> AsyncIterator[bytes]:
        """The thread as JSON Lines for `import_lines`, or as Markdown for people, piece by piece.

        Raises:
            ThreadNotFound: There is none.
            InvalidInput: There is no such form.
        """
        row = await self._row(principal, thread_id)
        if form == "jsonl":
            return self._exporter.lines(principal, row)
        if form == "markdown":
            return self._markdown.pieces(_view(row))
        raise InvalidInput(f"no format '{form[:40]}'; use jsonl or markdown")

    async def import_lines(
        self, principal: Principal, chunks: AsyncIterator[bytes], *, most_bytes: int | None = None
    ) -> dict[str, Any]:
        """A new thread of the principal from what `export` wrote; no thread that is there is touched.

        Args:
            chunks: The lines, cut anywhere.
            most_bytes: More than that is refused.

        Raises:
            ExportInvalid: A line is not what it should be; nothing is kept.
            TooLarge: There is too much of it, or one line or file is too long.
        """
        made = await self._importer.take_in(principal, chunks, most_bytes=most_bytes)
        return await self.get(principal, made)

    async def begin_with(self, principal: Principal, messages: Sequence[BaseMessage]) -> dict[str, Any]:
        """A new thread of the principal that begins with a conversation that was held elsewhere.

        Raises:
            ExportInvalid, TooLarge: A message cannot be kept; nothing is.
        """
        return await self.import_lines(principal, as_lines(messages))

    async def message_after(self, principal: Principal, thread_id: str, message_id: str) -> str | None:
        """The id of the user's message that follows this one on the thread; None where it is the last."""
        await self._row(principal, thread_id)
        return await self._transcript.next_of_user(thread_id, message_id)

    async def said_in(self, principal: Principal, thread_id: str, run_id: str) -> str:
        """All that the assistant said in a run on the thread, before calls of tools too."""
        await self._row(principal, thread_id)
        return await self._transcript.said_in(thread_id, run_id)

    async def _row(self, principal: Principal, thread_id: str) -> Any:
        async with self._engine.connect() as db:
            return await owned_row(db, principal, thread_id)


def _title(text: str) -> str:
    return _storable(text, "title")[:TITLE_LETTERS]


def _storable(text: str, name: str) -> str:
    """The text itself.

    Raises:
        InvalidInput: It has characters that not every database can hold.
    """
    if "\x00" in text:
        raise InvalidInput(f"{name} has a NUL character; remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{name} has a lone surrogate; send valid Unicode") from None
    return text


def _page(limit: int) -> int:
    if not 1 <= limit <= PAGE:
        raise InvalidInput(f"limit must be 1 to {PAGE} (got {limit})")
    return limit


def _view(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "title": row["title"],
        "status": row["status"],
        "turns": row["turns"],
        "tags": row["tags"] or [],
        "parent": row["parent"],
        "waiting": [renewed_question(each) for each in row["waiting"] or ()],
        "metadata": row["metadata"] or {},
        "created_at": time_of(row["created_at"]),
        "updated_at": time_of(row["updated_at"]),
    }
