"""Readers of a run's events, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graph.runs.events import VOCABULARY

Event = dict[str, Any]


def kinds(events: Sequence[Event]) -> list[str]:
    """The types, neighbouring equal ones once."""
    found: list[str] = []
    for event in events:
        if not found or found[-1] != event["type"]:
            found.append(event["type"])
    return found


def check_stream(events: Sequence[Event]) -> None:
    """Holds a whole stream to the contract: numbers, one run, known fields, one last event."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["run_id"] for event in events}) == 1
    for event in events:
        missing = VOCABULARY[event["type"]] - event.keys()
        assert not missing, f"{event['type']} lacks {sorted(missing)}"
    last = [event["type"] in {"done", "error"} for event in events]
    assert last.index(True) == len(events) - 1
