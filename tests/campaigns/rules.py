"""What can happen to threads, as rules of a state machine; `machine` runs it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.campaigns.expected import Expected
from tests.campaigns.talking import Service

KINDS = st.sampled_from(("hi", "one", "two"))
CUTS = st.integers(1, 9)
MOST_THREADS = 4
# A start takes a second: a few in each run, or they would be most of it.
MOST_CRASHES = 3


class Broken(BaseException):
    """Something is wrong. No Exception: Hypothesis would try it again, and the service has changed since."""


def told(step: Callable[..., None]) -> Callable[..., None]:
    """A rule whose failure comes with the story so far."""

    @wraps(step)
    def outer(self: Threads, **given: Any) -> None:
        self.story.append(f"{step.__name__}({', '.join(f'{name}={value}' for name, value in given.items())})")
        try:
            step(self, **given)
        except (AssertionError, httpx.HTTPError) as error:
            raise Broken(f"{error!r}\nafter {'; '.join(self.story)}") from error

    return outer


def is_free(thread: Expected) -> bool:
    return thread.free


class Threads(RuleBasedStateMachine):
    """Each rule is one step. `service` and `counts` are given by `machine.machine_on`."""

    service: ClassVar[Service]
    counts: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[Expected] = []
        self.crashes = 0
        self.story: list[str] = []

    # -- choosing ---------------------------------------------------------------------------------

    def _pick(self, number: int, wanted: Callable[[Expected], bool]) -> Expected | None:
        found = [thread for thread in self.threads if wanted(thread)]
        return found[number % len(found)] if found else None

    def _any(self, wanted: Callable[[Expected], bool]) -> bool:
        return any(wanted(thread) for thread in self.threads)

    def _free(self, number: int) -> Expected:
        return self._pick(number, lambda thread: thread.free) or self._new()

    def _new(self) -> Expected:
        thread = Expected(self.service.named("t"))
        self.service.http.post("/threads", json={"thread_id": thread.name}).raise_for_status()
        self.threads.append(thread)
        return thread

    def _message(self, kind: str) -> tuple[str, str]:
        """The id of a new message, and its text."""
        name = self.service.named("m")
        return name, f"{name} {kind}"

    def _done(self, step: str, *touched: Expected) -> None:
        self.counts[step] += 1
        for thread in touched:
            self.service.check(thread)

    # -- rules ------------------------------------------------------------------------------------

    @initialize()
    @told
    def first(self) -> None:
        self._new()

    @precondition(lambda self: len(self.threads) < MOST_THREADS)
    @rule()
    @told
    def new(self) -> None:
        self._done("new", self._new())

    @rule(number=st.integers(0, 9), kind=KINDS)
    @told
    def send(self, number: int, kind: str) -> None:
        thread = self._free(number)
        name, text = self._message(kind)
        output = self.service.invoke(thread.name, text).raise_for_status().json()["output"]
        assert output["status"] == "done", output
        assert name in output["answer"], output
        thread.takes(name)
        self._allowed(thread, name, kind)
        self._done("send", thread)

    @rule(number=st.integers(0, 9), kind=KINDS)
    @told
    def stream(self, number: int, kind: str) -> None:
        thread = self._free(number)
        name, text = self._message(kind)
        events = self.service.stream(thread.name, text)
        assert events[-1]["status"] == "done", events[-1]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        thread.takes(name)
        self._allowed(thread, name, kind)
        self._done("stream", thread)

    @rule(number=st.integers(0, 9), kind=KINDS, at=CUTS, goes_on=st.booleans())
    @told
    def cut(self, number: int, kind: str, at: int, *, goes_on: bool) -> None:
        thread = self._free(number)
        name, text = self._message(kind)
        manner = "continue" if goes_on else "cancel"
        events = self.service.stream(thread.name, text, cut=at, on_disconnect=manner)
        thread.takes(name)
        thread.behind = not goes_on
        self.service.quiet(thread)
        status = self.service.run(events[0]["run_id"])["status"]
        assert status == "done" if goes_on else status in ("cancelled", "done"), status
        thread.behind = status != "done"
        self._done("cut", thread)

    @rule(number=st.integers(0, 9))
    @told
    def hold(self, number: int) -> None:
        """A run that goes on in the background until it is let go, cancelled or interrupted."""
        thread = self._free(number)
        name, text = self._message("hold")
        answer = self.service.background(thread.name, text, "reject").raise_for_status()
        thread.takes(name)
        thread.runs[name] = answer.json()["run_id"]
        thread.holding = name
        self._done("hold", thread)

    @precondition(lambda self: self._any(lambda thread: not thread.free))
    @rule(number=st.integers(0, 9))
    @told
    def be_refused(self, number: int) -> None:
        thread = self._pick(number, lambda thread: not thread.free)
        assert thread
        _, text = self._message("hi")
        answer = self.service.invoke(thread.name, text)
        assert answer.status_code == 409, answer.text
        assert answer.json()["code"] == ("thread_waiting" if thread.asking else "thread_busy"), answer.text
        self._done("be refused", thread)

    @precondition(lambda self: self._any(lambda thread: not thread.free))
    @rule(number=st.integers(0, 9))
    @told
    def line_up(self, number: int) -> None:
        thread = self._pick(number, lambda thread: not thread.free)
        assert thread
        name, text = self._message("hi")
        answer = self.service.background(thread.name, text, "enqueue").raise_for_status()
        assert answer.json()["status"] == "queued", answer.text
        thread.queue.append(name)
        thread.runs[name] = answer.json()["run_id"]
        self._done("line up", thread)

    @precondition(lambda self: self._any(lambda thread: not thread.free))
    @rule(number=st.integers(0, 9))
    @told
    def interrupt(self, number: int) -> None:
        thread = self._pick(number, lambda thread: not thread.free)
        assert thread
        name, text = self._message("hi")
        stopped = thread.runs[thread.holding or thread.asking]
        output = (
            self.service.invoke(thread.name, text, on_busy="interrupt").raise_for_status().json()["output"]
        )
        assert output["status"] == "done", output
        self._never_made(thread)
        thread.queue.insert(0, name)
        thread.goes_on()
        self.service.quiet(thread)
        assert self.service.run(stopped)["status"] == "cancelled"
        self._done("interrupt", thread)

    @precondition(lambda self: self._any(lambda thread: bool(thread.holding)))
    @rule()
    @told
    def let_go(self) -> None:
        """The model goes on, with everything that it held back."""
        self._done("let go", *self._let_go())

    @precondition(lambda self: self._any(lambda thread: not thread.free))
    @rule(number=st.integers(0, 9))
    @told
    def cancel(self, number: int) -> None:
        thread = self._pick(number, lambda thread: not thread.free)
        assert thread
        run_id = thread.runs[thread.holding or thread.asking]
        answer = self.service.http.post(f"/runs/{run_id}/cancel")
        assert answer.status_code == 202, answer.text
        self._never_made(thread)
        thread.behind = True
        thread.goes_on()
        self.service.quiet(thread)
        assert self.service.run(run_id)["status"] == "cancelled"
        self._done("cancel", thread)

    @rule(number=st.integers(0, 9))
    @told
    def ask(self, number: int) -> None:
        """A turn that pauses for a person."""
        thread = self._free(number)
        name, text = self._message("ask")
        output = self.service.invoke(thread.name, text).raise_for_status().json()["output"]
        assert output["status"] == "interrupted", output
        assert [each["kind"] for each in output["interrupts"]] == ["approval"]
        thread.takes(name)
        thread.asking = name
        thread.runs[name] = output["run_id"]
        self._done("ask", thread)

    @precondition(lambda self: self._any(lambda thread: bool(thread.asking)))
    @rule(number=st.integers(0, 9), yes=st.booleans())
    @told
    def approve(self, number: int, *, yes: bool) -> None:
        thread = self._pick(number, lambda thread: bool(thread.asking))
        assert thread
        output = self.service.answer(thread.name, {"approve": yes}).raise_for_status().json()["output"]
        assert output["status"] == "done", output
        assert output["run_id"] == thread.runs[thread.asking]
        (thread.allowed if yes else thread.denied).add(f"{thread.asking}/1")
        thread.goes_on()
        self._done("approve" if yes else "deny", thread)

    @precondition(lambda self: self._any(lambda thread: bool(thread.stopped)))
    @rule(number=st.integers(0, 9))
    @told
    def resume(self, number: int) -> None:
        """Go on with a run that a death had stopped."""
        thread = self._pick(number, lambda thread: bool(thread.stopped))
        assert thread
        answer = self.service.http.post(f"/runs/{thread.stopped}/resume")
        assert answer.status_code == 202, answer.text
        run_id, thread.stopped, thread.behind = thread.stopped, "", False
        self.service.quiet(thread)
        assert self.service.run(run_id)["status"] == "done"
        self._done("resume", thread)

    @precondition(lambda self: self._any(is_free) and len(self.threads) < MOST_THREADS)
    @rule(number=st.integers(0, 9))
    @told
    def fork(self, number: int) -> None:
        thread = self._pick(number, is_free)
        assert thread
        answer = self.service.http.post(f"/threads/{thread.name}/fork")
        assert answer.status_code == 201, answer.text
        made = thread.copy_as(answer.json()["id"])
        assert answer.json()["parent"] == thread.name
        self.threads.append(made)
        self._done("fork", thread, made)

    @precondition(lambda self: len(self.threads) > 1)
    @rule(number=st.integers(0, 9))
    @told
    def delete(self, number: int) -> None:
        thread = self.threads[number % len(self.threads)]
        answer = self.service.http.delete(f"/threads/{thread.name}")
        if thread.holding or thread.queue:
            assert answer.status_code == 409, answer.text
            self._done("delete refused", thread)
            return
        assert answer.status_code == 204, answer.text
        assert self.service.http.get(f"/threads/{thread.name}").status_code == 404
        self.threads.remove(thread)
        self._done("delete")

    @precondition(lambda self: self.crashes < MOST_CRASHES)
    @rule()
    @told
    def crash(self) -> None:
        """The service dies between two turns; what it had going in the background goes on."""
        self.crashes += 1
        self.service.crash()
        self._let_go()
        self._done("crash", *self.threads)

    @precondition(lambda self: self.crashes < MOST_CRASHES)
    @rule(number=st.integers(0, 9), kind=KINDS, at=CUTS, goes_on=st.booleans())
    @told
    def crash_in_turn(self, number: int, kind: str, at: int, *, goes_on: bool) -> None:
        self.crashes += 1
        thread = self._free(number)
        name, text = self._message(kind)
        manner = "continue" if goes_on else "cancel"
        events = self.service.crash_in(thread.name, text, at, on_disconnect=manner)
        thread.takes(name)
        self._let_go()
        self.service.quiet(thread)
        run = self.service.run(events[0]["run_id"])
        assert run["status"] in (("done",) if goes_on else ("done", "interrupted", "cancelled")), run
        thread.behind = run["status"] != "done"
        thread.stopped = run["run_id"] if run["status"] == "interrupted" else ""
        self._done("crash in a turn", *self.threads)

    def teardown(self) -> None:
        if not sys.exception():
            self._end()

    @told
    def _end(self) -> None:
        for thread in self.threads:
            if thread.asking:
                self.service.http.post(f"/runs/{thread.runs[thread.asking]}/cancel")
                self._never_made(thread)
                thread.behind = True
                thread.goes_on()
        self._let_go()
        for thread in self.threads:
            self.service.check(thread)
        self.service.check_tools(self.threads)
        self.counts["run"] += 1

    # -- inside -----------------------------------------------------------------------------------

    def _allowed(self, thread: Expected, name: str, kind: str) -> None:
        thread.allowed |= {f"{name}/{number}" for number in range(1, {"one": 2, "two": 3}.get(kind, 1))}

    def _never_made(self, thread: Expected) -> None:
        if thread.asking:
            thread.denied.add(f"{thread.asking}/1")

    def _let_go(self) -> list[Expected]:
        held = [thread for thread in self.threads if thread.holding]
        self.service.model.free([thread.holding for thread in held])
        for thread in held:
            thread.goes_on()
        return held
