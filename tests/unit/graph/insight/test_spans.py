"""The waterfall of a run, from what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.access import Principal
from core.steps import Part
from graph.insight.run_events import ReadEvent
from graph.insight.spans import Waterfall
from graph.runs.record import RunRecord, TurnRequest

BEGAN = 1000.0
PARTS: Mapping[str, Part] = {"retrieve": "passages", "call_model": "model", "execute_tools": "tools"}


def run(status: str = "done", *, steps: list[dict[str, Any]] | None = None, **more: Any) -> RunRecord:
    """A run that was asked for at BEGAN and took a second."""
    values: dict[str, Any] = {
        **dict.fromkeys(("message_id", "answers", "holder", "output", "error")),
        **dict.fromkeys(("seq_limit", "input_tokens", "output_tokens"), 0),
        **dict.fromkeys(("reason", "request_id", "model", "input_hash"), ""),
        "id": "r",
        "thread_id": "t",
        "status": status,
        "attempts": 1,
        "policy": "end",
        "created_at": BEGAN,
        "started_at": BEGAN,
        "ended_at": None if status in ("running", "queued") else BEGAN + 1,
        "steps": tuple(steps or ()),
        **more,
    }
    return RunRecord(request=TurnRequest(Principal("ada"), "hi"), **values)


def said(*events: tuple[float, dict[str, Any]]) -> list[ReadEvent]:
    """Events, each with the second after BEGAN in which it was told."""
    return [ReadEvent(n, event["type"], BEGAN + at, event) for n, (at, event) in enumerate(events, start=1)]


def step(name: str, at: float, ms: float | None, end: str = "ok", attempt: int = 1) -> dict[str, Any]:
    return {"name": name, "attempt": attempt, "at": BEGAN + at, "ms": ms, "end": end}


def drawn(record: RunRecord, events: list[ReadEvent], *, now: float = 2, **more: Any) -> dict[str, Any]:
    return Waterfall(record, events, PARTS, now=BEGAN + now, **more).as_json()


def lines(found: dict[str, Any]) -> list[tuple[str, str, str | None, float, float | None]]:
    """kind, name, the name of the parent, start and duration."""
    names = {span["id"]: span["name"] for span in found["spans"]}
    return [
        (s["kind"], s["name"], names.get(s["parent"]), s["start_ms"], s["duration_ms"])
        for s in found["spans"]
    ]


STARTED = {"type": "run_started", "attempt": 1}
USAGE = {"type": "usage", "model": "m", "input_tokens": 5, "output_tokens": 2, "cost": 0.25}
DONE = {"type": "done", "status": "done"}


def call(key: str = "c") -> dict[str, Any]:
    return {"type": "tool_call", "id": key, "server": "s", "tool": "add"}


def result(key: str = "c", status: str = "ok") -> dict[str, Any]:
    return {"type": "tool_result", "id": key, "status": status, "duration_ms": 90, "files": []}


def test_work_stands_below_the_step_that_did_it() -> None:
    steps = [step("retrieve", 0.0, 100), step("call_model", 0.1, 300), step("execute_tools", 0.5, 110)]
    told = said(
        (0.0, STARTED),
        (0.09, {"type": "documents", "items": [{"source": "book"}], "failed": []}),
        (0.2, {"type": "token"}),
        (0.4, USAGE),
        (0.5, call()),
        (0.6, result()),
        (1.0, DONE),
    )
    found = drawn(run(steps=steps), told)
    assert lines(found) == [
        ("run", "t", None, 0.0, 1000.0),
        ("step", "retrieve", "t", 0.0, 100.0),
        ("retrieval", "book", "retrieve", 0.0, 90.0),
        ("step", "call_model", "t", 100.0, 300.0),
        ("model", "m", "call_model", 100.0, 300.0),
        ("step", "execute_tools", "t", 500.0, 110.0),
        ("tool", "add", "execute_tools", 500.0, 100.0),
    ]
    model = found["spans"][4]["detail"]
    assert model == {"input_tokens": 5, "output_tokens": 2, "cost": 0.25, "first_token_ms": 100.0}
    assert found["totals"]["model_ms"] == 300.0
    assert found["totals"]["tool_calls"] == 1


def test_a_run_without_times_of_steps_is_drawn_from_its_events() -> None:
    told = said((0.0, STARTED), (0.2, {"type": "config"}), (0.5, USAGE), (1.0, DONE))
    assert lines(drawn(run(), told)) == [
        ("run", "t", None, 0.0, 1000.0),
        ("model", "m", "t", 200.0, 300.0),
    ]


def test_what_waits_for_a_person_goes_on_until_the_answer() -> None:
    asks = {"type": "interrupt", "kind": "approval"}
    ended = {"type": "done", "status": "interrupted"}
    before = said((0.0, STARTED), (0.3, call()), (0.4, asks), (0.45, ended))
    waits = drawn(run("interrupted", reason="person"), before)
    assert [(s["kind"], s["duration_ms"], s["status"]) for s in waits["spans"]] == [
        ("run", None, "interrupted"),
        ("tool", 100.0, "waiting"),
        ("waiting", None, "waiting"),
    ]
    assert waits["totals"]["waiting_ms"] == 1600.0
    after = said((5.0, {"type": "run_started", "attempt": 2}), (5.1, call()), (5.2, result()), (6.0, DONE))
    both = before + [ReadEvent(one.seq + 4, one.type, one.at, one.event) for one in after]
    answered = drawn(run(attempts=2, ended_at=BEGAN + 6), both)
    kinds = [(s["kind"], s["name"], s["attempt"]) for s in answered["spans"]]
    assert kinds == [
        ("run", "t", 1),
        ("attempt", "attempt 1", 1),
        ("tool", "add", 1),
        ("waiting", "approval", 1),
        ("attempt", "attempt 2", 2),
        ("tool", "add", 2),
    ]
    assert answered["spans"][3]["duration_ms"] == 4600.0


def test_a_run_that_goes_on_has_no_end_and_shows_the_step_that_works() -> None:
    live = [step("call_model", 0.1, None, end="")]
    found = drawn(run("running"), said((0.0, STARTED), (0.2, call())), live=live, now=0.5)
    assert lines(found) == [
        ("run", "t", None, 0.0, None),
        ("step", "call_model", "t", 100.0, None),
        ("tool", "add", "t", 200.0, None),
    ]
    assert found["duration_ms"] == 500.0
    assert [s["status"] for s in found["spans"]] == ["running", "running", "running"]


def test_waiting_for_the_thread_is_told_apart() -> None:
    late = said((0.6, STARTED), (1.0, DONE))
    assert lines(drawn(run(), late))[1] == ("queue", "before it began", "t", 0.0, 600.0)
    queued = drawn(run("queued"), [], now=3)
    assert lines(queued)[1] == ("queue", "before it began", "t", 0.0, None)
    assert queued["totals"]["queue_ms"] == 3000.0


def test_an_attempt_that_died_is_lost_and_errors_are_marked() -> None:
    error = {"type": "error", "code": "internal", "detail": "a fault of ours"}
    told = said((0.0, STARTED), (0.1, call()), (0.5, {"type": "run_started", "attempt": 2}), (1.0, error))
    found = drawn(run("failed", attempts=2, steps=[step("call_model", 0.6, None, end="")]), told)
    assert [s["status"] for s in found["spans"] if s["kind"] == "attempt"] == ["lost", "failed"]
    assert [s["status"] for s in found["spans"] if s["kind"] == "tool"] == ["unknown"]
    between = [line for line in lines(found) if line[0] == "queue"]
    assert between == [("queue", "until it was taken up", "t", 100.0, 400.0)]
    assert found["totals"]["queue_ms"] == 400.0
    assert [s["duration_ms"] for s in found["spans"] if s["kind"] == "step"] == [0.0]
    assert found["marks"] == [
        {"seq": 4, "type": "error", "at_ms": 1000.0, "code": "internal", "detail": "a fault of ours"}
    ]


def test_a_run_that_ended_before_it_began_has_only_itself() -> None:
    found = drawn(run("cancelled", ended_at=None), [])
    assert lines(found) == [("run", "t", None, 0.0, 0.0)]
    told = said((0.0, STARTED), (0.1, {"type": "documents", "items": [], "failed": [{"source": "s"}]}))
    span = drawn(run("cancelled"), told)["spans"][-1]
    assert (span["name"], span["status"]) == ("sources", "error")


def test_what_steps_of_others_tell_may_be_odd() -> None:
    odd = said(
        (0.0, STARTED),
        (0.1, {"type": "documents", "items": [1, {"source": "book"}], "failed": "no list"}),
        (0.2, {"type": "tool_call"}),
        (0.3, {"type": "tool_result", "files": 5}),
        (0.4, {"type": "usage", "model": None}),
        (1.0, DONE),
    )
    kinds = [(span["kind"], span["name"]) for span in drawn(run(), odd)["spans"]]
    assert kinds == [("run", "t"), ("retrieval", "book"), ("tool", ""), ("model", "None")]


def test_times_of_steps_are_shown_when_the_events_are_kept_no_longer() -> None:
    found = drawn(run(steps=[step("call_model", 0.1, 300)]), [])
    assert ("step", "call_model", "t", 100.0, 300.0) in lines(found)
