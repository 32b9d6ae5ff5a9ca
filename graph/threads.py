"""A person's threads: list, look, rename, delete. Somebody else's do not exist."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any

from langgraph.graph.state import CompiledStateGraph
from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal, owner_seen_by
from core.database import insert_new
from core.errors import InvalidInput
from core.whole import whole
from graph.errors import InvalidThreadId, ThreadBusy, ThreadNotFound
from graph.lease import new_thread
from graph.messages import as_view
from graph.tables import threads
from graph.transcript import Transcript
from nodes.file_storage import FileManager

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
STATUSES = ("idle", "running", "interrupted", "failed")
PAGE = 200


def check_id(value: str) -> str:
    """The id itself.

    Raises:
        InvalidThreadId: It is not 1 to 64 of A-Z a-z 0-9 _ -.
    """
    if not _ID.fullmatch(value):
        raise InvalidThreadId(f"'{value[:80]}' is not a valid id; use 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def new_id(prefix: str) -> str:
    """A fresh id that tells nothing: 16 random bytes behind a letter."""
    return f"{prefix}_{secrets.token_hex(16)}"


class Threads:
    """Threads of the database at `engine`, their checkpoints in `graph`."""

    def __init__(
        self,
        engine: AsyncEngine,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        transcript: Transcript,
        files: FileManager,
    ) -> None:
        self._engine = engine
        self._graph = graph
        self._transcript = transcript
        self._files = files

    async def list(
        self,
        principal: Principal,
        *,
        status: str | None = None,
        q: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[dict[str, Any]]:
        """The principal's threads, the last used first.

        Args:
            status: One of idle, running, interrupted, failed.
            q: Only titles that contain this.
            limit: 1 to 200.
            after: Id of the last thread of the page before.
        """
        query = select(threads).where(threads.c.owner == owner_seen_by(principal))
        if status is not None:
            if status not in STATUSES:
                raise InvalidInput(f"no status '{status}'; one of {', '.join(STATUSES)}")
            query = query.where(threads.c.status == status)
        if q:
            query = query.where(threads.c.title.icontains(_storable(q, "q"), autoescape=True))
        if after is not None:
            last = await self._row(principal, after)
            place = tuple_(threads.c.updated_at, threads.c.id)
            query = query.where(place < (last["updated_at"], last["id"]))
        query = query.order_by(threads.c.updated_at.desc(), threads.c.id.desc()).limit(_page(limit))
        async with self._engine.connect() as db:
            return [_view(row) for row in (await db.execute(query)).mappings()]

    @whole
    async def create(
        self, principal: Principal, *, thread_id: str | None = None, title: str = ""
    ) -> dict[str, Any]:
        """A new, empty thread; one that the principal has already is given back as it is."""
        key = check_id(thread_id) if thread_id else new_id("t")
        row = new_thread(key, principal, _storable(title, "title")[:200])
        async with self._engine.begin() as db:
            await insert_new(db, threads, row)
        return await self.get(principal, key)

    async def get(self, principal: Principal, thread_id: str) -> dict[str, Any]:
        return _view(await self._row(principal, thread_id))

    @whole
    async def rename(self, principal: Principal, thread_id: str, title: str) -> dict[str, Any]:
        await self._row(principal, thread_id)
        shown = _storable(title, "title")[:200]
        async with self._engine.begin() as db:
            await db.execute(update(threads).where(threads.c.id == thread_id).values(title=shown))
        return await self.get(principal, thread_id)

    @whole
    async def delete(self, principal: Principal, thread_id: str) -> None:
        """Remove the thread with its checkpoints, its transcript and the files that tools made in it.

        What the person uploaded stays theirs: it may go with other threads.

        Raises:
            ThreadBusy: A run is going on it.
        """
        await self._row(principal, thread_id)
        async with self._engine.begin() as db:
            gone = await db.execute(
                delete(threads).where(threads.c.id == thread_id, threads.c.run_id.is_(None))
            )
        if not gone.rowcount:
            raise ThreadBusy(f"thread '{thread_id}' has a run going; cancel it or wait, then delete")
        await self._transcript.delete(thread_id)
        if self._graph.checkpointer and not isinstance(self._graph.checkpointer, bool):
            await self._graph.checkpointer.adelete_thread(thread_id)
        while found := await self._files.list(principal, origin="tool", thread=thread_id):
            for file in found:
                await self._files.delete(principal, file.key)

    async def transcript(
        self, principal: Principal, thread_id: str, *, limit: int = 50, before: int | None = None
    ) -> dict[str, Any]:
        """Every message, page by page from the newest, oldest first within a page."""
        await self._row(principal, thread_id)
        return await self._transcript.page(thread_id, limit=_page(limit), before=before)

    async def state(self, principal: Principal, thread_id: str) -> dict[str, Any]:
        """What the thread's newest checkpoint holds."""
        await self._row(principal, thread_id)
        snapshot = await self._graph.aget_state({"configurable": {"thread_id": thread_id}})
        return {
            "messages": [as_view(message) for message in snapshot.values.get("messages", [])],
            "files": snapshot.values.get("files", []),
            "next": list(snapshot.next),
            "interrupts": [{"id": i.id, **i.value} for i in snapshot.interrupts],
            "checkpoint_id": snapshot.config.get("configurable", {}).get("checkpoint_id"),
        }

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
            "checkpoints": [_checkpoint(snapshot) for snapshot in found],
            "before": found[-1].config["configurable"]["checkpoint_id"] if len(found) == limit else None,
        }

    async def _row(self, principal: Principal, thread_id: str) -> Any:
        mine = threads.c.owner == owner_seen_by(principal)
        query = select(threads).where(threads.c.id == check_id(thread_id), mine)
        async with self._engine.connect() as db:
            row = (await db.execute(query)).mappings().first()
        if row is None:
            raise ThreadNotFound(thread_id)
        return row


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
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _checkpoint(snapshot: Any) -> dict[str, Any]:
    return {
        "checkpoint_id": snapshot.config["configurable"]["checkpoint_id"],
        "created_at": snapshot.created_at,
        "step": (snapshot.metadata or {}).get("step"),
        "next": list(snapshot.next),
        "messages": len(snapshot.values.get("messages", [])),
    }
