"""What is said of work that was handed over and that nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.database.outage import DatabaseUnavailable
from core.database.writer import Entry, Fence, Unit, Writer
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
