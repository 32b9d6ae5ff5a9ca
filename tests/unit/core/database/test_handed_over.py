"""What is said of work that was handed over and that nobody waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from threading import Event
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.database.outage import DatabaseUnavailable, answered_within
from core.database.units import Fence, Unit
from core.database.writer import _SLACK_S, _STALLED_S, Entry, Writer
from core.errors import Conflict

FENCE = Fence("t", 1, lambda: Conflict("thread 't' was taken over"))


class Answering:
    """A connection whose every commit comes to this."""

    connections = 1

    def __init__(self, outcome: Exception) -> None:
        self._outcome = outcome

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        return [self._outcome] * len(entries)

    def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Conflict("thread 't' was taken over"), ("handed_over_refused", "info")),
        (ValueError("no such column"), ("handed_over_refused", "error")),
        (DatabaseUnavailable("is locked"), ("handed_over_not_stored_yet", "warning")),
    ],
)
async def test_a_holder_that_has_lost_its_thread_is_no_fault_and_anything_else_is(
    outcome: Exception, said: tuple[str, str]
) -> None:
    writer = Writer(Answering(outcome))
    with capture_logs() as logs:
        writer.later(Unit(FENCE))
        writer._flush()
        assert writer._task is not None
        await writer._task
        writer._later.clear()
        await writer.aclose()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [said]


class Waiting(Answering):
    """A connection whose commit ends when it is told to."""

    def __init__(self) -> None:
        super().__init__(DatabaseUnavailable("is locked"))
        self.goes_on = Event()

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        assert self.goes_on.wait(60)
        return [None] * len(entries)


async def test_a_process_that_stood_still_has_not_waited_for_its_database() -> None:
    connection = Waiting()
    writer, loop = Writer(connection), asyncio.get_running_loop()
    with answered_within(0.2):
        writing = asyncio.create_task(writer.write(Unit()))
        await asyncio.sleep(0)
        time.sleep(0.2 + _SLACK_S + 2 * _STALLED_S)  # noqa: ASYNC251 - as a process that is frozen
        loop.call_later(0.05, connection.goes_on.set)
        await writing
    await writer.aclose()


async def test_a_database_that_does_not_answer_is_away_while_the_process_runs() -> None:
    connection = Waiting()
    writer = Writer(connection)
    with answered_within(0.2), pytest.raises(DatabaseUnavailable, match="does not answer"):
        await writer.write(Unit())
    connection.goes_on.set()
    await writer.aclose()
