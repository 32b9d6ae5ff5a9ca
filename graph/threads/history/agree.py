"""Bring the transcript of a thread to agree with a state that somebody has changed, or has gone back to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from core.database.engine import insert_new
from graph.db.tables import transcript


async def take_out(
    db: AsyncConnection, thread_id: str, old: Sequence[BaseMessage], new: Sequence[BaseMessage]
) -> None:
    """Delete what the state had and has no more. What has only left the window stays, as in any turn."""
    ids = {message.id for message in new}
    mine = transcript.c.thread_id == thread_id
    places = {row.message_id: row.seq for row in await db.execute(_seqs(thread_id, [*old, *new]))}
    first_kept = next((place for place, message in enumerate(old) if message.id in ids), 0)
    gone = [str(message.id) for message in old[first_kept:] if message.id not in ids]
    await db.execute(delete(transcript).where(mine, transcript.c.message_id.in_(gone)))
    # Behind an older checkpoint there may be turns that had left the window already.
    last = max((seq for key, seq in places.items() if key in ids), default=0)
    first = min((places[str(message.id)] for message in old if str(message.id) in places), default=0)
    between = (transcript.c.seq > last) & (transcript.c.seq < first)
    await db.execute(delete(transcript).where(mine, between))


def _seqs(thread_id: str, messages: Sequence[BaseMessage]) -> Any:
    ids = [str(message.id) for message in messages]
    known = (transcript.c.thread_id == thread_id) & transcript.c.message_id.in_(ids)
    return select(transcript.c.message_id, transcript.c.seq).where(known)


async def put(db: AsyncConnection, row: dict[str, Any]) -> None:
    """Add the message, or what has changed of it."""
    if await insert_new(db, transcript, row):
        return
    same = (transcript.c.thread_id == row["thread_id"]) & (transcript.c.message_id == row["message_id"])
    kept = (await db.execute(select(transcript.c.text, transcript.c.extra).where(same))).one()
    extra = {**kept.extra, **row["extra"]}
    if (kept.text, kept.extra) != (row["text"], extra):
        await db.execute(update(transcript).where(same).values(text=row["text"], extra=extra))
