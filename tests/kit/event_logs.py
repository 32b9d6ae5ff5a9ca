"""The log of a run, read as its readers do."""

from __future__ import annotations

from collections.abc import AsyncIterator

from graph.runs.events import EventLog, LoggedEvent


async def reading_of(log: EventLog, after: int = 0) -> AsyncIterator[LoggedEvent]:
    """What the log has above number `after`, as it comes, to the last one."""
    while found := await log.more(after):
        for entry in found:
            after = entry.seq
            yield entry
