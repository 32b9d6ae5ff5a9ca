"""The base of every event."""

from __future__ import annotations

import time
from dataclasses import FrozenInstanceError, dataclass

import pytest

from core.correlation import correlated
from core.events import Event, known_events


@dataclass(frozen=True, slots=True)
class Baked(Event):
    name: str
    loaves: int = 1


@dataclass(frozen=True, slots=True)
class Burnt(Baked):
    status: str = "failed"


def test_an_event_knows_when_it_happened_and_for_whom() -> None:
    before = time.time()
    with correlated(run_id="r1", user="ada"):
        event = Baked("rye", loaves=3)
    assert before <= event.at <= time.time()
    assert (event.by.run_id, event.by.user, event.by.thread_id) == ("r1", "ada", "")


def test_as_json_holds_the_fields_and_the_known_ids() -> None:
    with correlated(run_id="r1"):
        event = Baked("rye", at=12.5)
    assert event.as_json() == {"name": "rye", "loaves": 1, "at": 12.5, "by": {"run_id": "r1"}}


def test_an_event_is_called_by_its_class_whatever_its_fields_are_called() -> None:
    assert Baked("rye").what == "Baked"


def test_the_outcome_is_the_status_where_there_is_one() -> None:
    assert (Baked("rye").outcome, Burnt("rye").outcome, Burnt("rye", status="").outcome) == (
        "done",
        "failed",
        "done",
    )


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Baked("rye").loaves = 2  # type: ignore[misc]  # that is the point


def test_known_events_are_those_that_can_be_made_and_not_the_base() -> None:
    known = known_events()
    assert known["Baked"] is Baked
    assert known["Burnt"] is Burnt
    assert "Event" not in known
