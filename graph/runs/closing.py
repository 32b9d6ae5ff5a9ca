"""How an attempt ends, in the words of the database's driver: nothing of it depends on what is found there.

So it needs no look into the transaction, and on PostgreSQL no round trip of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import now_of
from core.database.writer import Unit
from core.events.tables import webhook_deliveries
from core.foreign import as_json
from graph.db.tables import Inserting, run_events, runs, transcript, worded
from graph.runs.events import rows_of_events
from graph.runs.lease import Hold, fence_of
from graph.runs.rows import Ending, announcement

_MESSAGES = Inserting(transcript, new_only=True)
_EVENTS = Inserting(run_events, new_only=True)
_DELIVERIES = Inserting(webhook_deliveries, new_only=True)
# An ending that was written, and told as failed, is not written again: readers have heard its last event.
_HELD = "SELECT 1 FROM threads WHERE id = ? AND fence = ? AND run_id = ?"
_LET_GO = (
    "UPDATE threads SET run_id = NULL, holder = NULL, lease_until = NULL, status = ?, dirty = ?, waiting = ?,"
    " turns = turns + ?, updated_at = ? WHERE id = ?"
)
_FORGET = "DELETE FROM receipts WHERE thread_id = ?"
_MORE = "SELECT 1 FROM runs WHERE thread_id = ? AND status = 'queued' LIMIT 1"

Statement = tuple[str, Sequence[Sequence[Any]]]


def unit_of(engine: AsyncEngine, hold: Hold, ending: Ending) -> Unit:
    """All that the end of the attempt writes; its result has a row where another run waits for the thread."""
    statements = list(_statements(engine, hold, ending))
    held = (worded(engine, _HELD), (hold.thread_id, hold.fence, hold.run_id))
    more = (worded(engine, _MORE), (hold.thread_id,))
    return Unit(fence_of(hold), statements, query=more, guard=held)


def _statements(engine: AsyncEngine, hold: Hold, ending: Ending) -> Iterator[Statement]:
    now = now_of(engine)
    waiting = None if ending.waiting is None else as_json(ending.waiting)
    thread = (ending.thread_status, not ending.clean, waiting, 0 if ending.again else 1, now)
    yield worded(engine, _LET_GO), [(*thread, hold.thread_id)]
    if ending.messages:
        yield _MESSAGES.into(engine, ending.messages)
    if ending.events:
        yield _EVENTS.into(engine, rows_of_events(hold.thread_id, ending.events, now=now))
    yield _run(engine, hold, ending.of_run(now=now))
    if row := announcement(hold, ending, now=now):
        yield _DELIVERIES.into(engine, [row])
    if ending.clean and ending.has_calls:
        yield worded(engine, _FORGET), [(hold.thread_id,)]


def _run(engine: AsyncEngine, hold: Hold, values: Mapping[str, Any]) -> Statement:
    changes = ", ".join(f"{name} = ?" for name in values)
    kinds = {column.name: column.type for column in runs.columns}
    row = [
        as_json(value) if value is not None and isinstance(kinds[name], JSON) else value
        for name, value in values.items()
    ]
    return worded(engine, f"UPDATE runs SET {changes} WHERE id = ?"), [(*row, hold.run_id)]  # noqa: S608 - our own names
