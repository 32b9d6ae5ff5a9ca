"""The runs that go on in a process, and how many of them each user has."""

from __future__ import annotations

from core.access import Principal
from graph.runs.lease import Hold
from graph.runs.lookup import LiveRuns
from graph.runs.record import Run, record_of
from graph.runs.rows import LATER, row_of
from tests.unit.graph.run_kit import ADA, BOB, new_run


def run_of(who: Principal, thread: str) -> Run:
    new = new_run(thread=thread, who=who)
    hold = Hold(thread, new.id, 1)
    return Run(record_of({**LATER, **row_of(new, hold, "here", 0.0, now=1.0)}, new.request), hold)


def test_runs_are_counted_by_user_as_they_begin_and_end() -> None:
    live, hers, other, his = LiveRuns(), run_of(ADA, "t1"), run_of(ADA, "t2"), run_of(BOB, "t3")
    for run in (hers, other, his, hers):
        live[run.id] = run
    assert [live.count_of(user) for user in ("ada", "bob", "eve")] == [2, 1, 0]
    del live[hers.id]
    assert live.pop(his.id) is his
    assert [live.count_of(user) for user in ("ada", "bob", "eve")] == [1, 0, 0]
    assert list(live) == [other.id]
    live.clear()
    assert not live.count_of("ada")


def test_a_run_that_takes_the_place_of_another_under_its_id_is_counted_once() -> None:
    live, first = LiveRuns(), run_of(ADA, "t1")
    again = Run(first.record, first.hold)
    live[first.id] = first
    live[again.id] = again
    assert live.count_of("ada") == 1
    assert live[first.id] is again
