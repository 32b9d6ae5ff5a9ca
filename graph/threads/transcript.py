"""The whole conversation, append-only; what history, search and export read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import insert_new
from core.database.outage import uninterrupted
from graph.db.tables import transcript
from graph.flow.state import rows_of, time_of


class Transcript:
    """Reads and appends messages of threads. Rights are the caller's business (see `Threads`)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @uninterrupted
    async def append(
        self,
        thread_id: str,
        run_id: str,
        messages: Sequence[BaseMessage],
        extras: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        """Add messages that are not there yet; a message id stands once in a thread.

        Args:
            extras: More to keep beside a message, by its id (citations, say).
        """
        rows = rows_of(thread_id, run_id, messages, extras)
        if rows:
            async with self._engine.begin() as db:
                for row in rows:
                    await insert_new(db, transcript, row)

    async def has(self, thread_id: str, message_id: str) -> bool:
        """True when a message of the thread has this id."""
        known = (transcript.c.thread_id == thread_id) & (transcript.c.message_id == message_id)
        async with self._engine.connect() as db:
            return (await db.execute(select(transcript.c.seq).where(known))).first() is not None

    async def page(self, thread_id: str, *, limit: int, before: int | None) -> dict[str, Any]:
        """The newest `limit` messages older than `before`, oldest first.

        Returns:
            `messages`, and `before` for the next page (None at the start of the thread).
        """
        query = select(transcript).where(transcript.c.thread_id == thread_id)
        if before is not None:
            query = query.where(transcript.c.seq < before)
        query = query.order_by(transcript.c.seq.desc()).limit(limit + 1)
        async with self._engine.connect() as db:
            rows = (await db.execute(query)).mappings().all()
        shown = rows[:limit][::-1]
        return {
            "messages": [_view(row) for row in shown],
            "before": shown[0]["seq"] if len(rows) > limit else None,
        }

    async def onward(self, thread_id: str, *, after: int = 0, limit: int = 200) -> Sequence[RowMapping]:
        """The next rows above number `after`, oldest first, as they are stored."""
        query = (
            select(transcript)
            .where(transcript.c.thread_id == thread_id, transcript.c.seq > after)
            .order_by(transcript.c.seq)
            .limit(limit)
        )
        async with self._engine.connect() as db:
            return (await db.execute(query)).mappings().all()

    async def rows(self, thread_id: str) -> AsyncIterator[RowMapping]:
        """Every row, oldest first, some at a time: no connection is held between them."""
        after = 0
        while found := await self.onward(thread_id, after=after):
            for row in found:
                yield row
            after = found[-1]["seq"]

    async def next_of_user(self, thread_id: str, message_id: str) -> str | None:
        """The id of the user's message that follows this message."""
        here = transcript.c.thread_id == thread_id
        place = select(transcript.c.seq).where(here, transcript.c.message_id == message_id).scalar_subquery()
        query = select(transcript.c.message_id).where(
            here, transcript.c.role == "user", transcript.c.seq > place
        )
        async with self._engine.connect() as db:
            found: str | None = (await db.execute(query.order_by(transcript.c.seq).limit(1))).scalar()
        return found

    async def said_in(self, thread_id: str, run_id: str) -> str:
        """All that the assistant said in a run, before calls of tools too."""
        query = select(transcript.c.text).where(
            transcript.c.thread_id == thread_id,
            transcript.c.run_id == run_id,
            transcript.c.role == "assistant",
        )
        async with self._engine.connect() as db:
            return "".join((await db.execute(query.order_by(transcript.c.seq))).scalars())

    async def user_messages(self, thread_id: str, *, limit: int) -> list[dict[str, Any]]:
        """The newest user messages, oldest first."""
        query = (
            select(transcript)
            .where(transcript.c.thread_id == thread_id, transcript.c.role == "user")
            .order_by(transcript.c.seq.desc())
            .limit(limit)
        )
        async with self._engine.connect() as db:
            rows = (await db.execute(query)).mappings().all()
        return [_view(row) for row in rows[::-1]]


def _view(row: Any) -> dict[str, Any]:
    return {
        "seq": row["seq"],
        "id": row["message_id"],
        "role": row["role"],
        "text": row["text"],
        "run_id": row["run_id"],
        "created_at": time_of(row["created_at"]),
        **row["extra"],
    }
