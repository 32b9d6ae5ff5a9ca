"""A service as the state machine talks to it: one step, one request, and what has to be there after it."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import suppress
from typing import Any

import httpx
from sqlalchemy import select

from graph.db.tables import runs
from tests.campaigns.checks import reader, unanswered
from tests.campaigns.expected import Expected
from tests.campaigns.journal import doubled
from tests.campaigns.model import RuleServer
from tests.campaigns.reading import ENDS, Event
from tests.campaigns.victims import Victim

QUIET_SECONDS = 30.0
LOOK_SECONDS = 0.01


class Service:
    """Requests, and checks against what is expected. Kept over all examples of a campaign."""

    def __init__(self, victim: Victim, model: RuleServer) -> None:
        self.victim = victim
        self.model = model
        self.http = httpx.Client(base_url=victim.url, timeout=60, trust_env=False)
        self.engine = reader(victim.site)
        self.numbers = itertools.count(1)

    def close(self) -> None:
        self.http.close()
        self.engine.dispose()

    def named(self, letter: str) -> str:
        return f"{letter}{next(self.numbers)}"

    # -- requests ---------------------------------------------------------------------------------

    def invoke(self, thread: str, text: str = "", **wishes: Any) -> httpx.Response:
        return self.http.post("/agent/invoke", json=body_of(thread, {"message": text}, wishes))

    def answer(self, thread: str, resume: dict[str, Any]) -> httpx.Response:
        return self.http.post("/agent/invoke", json=body_of(thread, {"resume": resume}, {}))

    def background(self, thread: str, text: str, on_busy: str) -> httpx.Response:
        body = {"input": {"message": text}, "on_busy": on_busy}
        return self.http.post(f"/threads/{thread}/runs", json=body)

    def stream(self, thread: str, text: str, *, cut: int = 0, **wishes: Any) -> list[Event]:
        """The events of a turn, of which no more are read than `cut` (0: all)."""
        got: list[Event] = []
        body = body_of(thread, {"message": text}, wishes)
        with self.http.stream("POST", "/agent/stream", json=body) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    got.append(json.loads(line[6:]))
                if got and (len(got) == cut or got[-1]["type"] in ENDS):
                    break
        return got

    def crash_in(self, thread: str, text: str, at: int, **wishes: Any) -> list[Event]:
        """Die in a turn, after so many of its events; gives those."""
        got: list[Event] = []
        body = body_of(thread, {"message": text}, wishes)
        with suppress(httpx.TransportError), self.http.stream("POST", "/agent/stream", json=body) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    got.append(json.loads(line[6:]))
                if got and (len(got) >= at or got[-1]["type"] in ENDS):
                    self.victim.kill()
        self.crash()
        return got

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/runs/{run_id}").raise_for_status().json()
        return found

    def crash(self) -> None:
        """kill -9, and the next start."""
        self.victim.kill()
        self.http.close()  # its connections are gone
        self.http = httpx.Client(base_url=self.victim.url, timeout=60, trust_env=False)
        self.victim.start()

    # -- what has to be there ---------------------------------------------------------------------

    def quiet(self, thread: Expected) -> None:
        """Wait until the thread does nothing but what is expected."""
        deadline = time.monotonic() + QUIET_SECONDS
        while (found := self._active(thread.name)) != (wanted := self._wanted(thread)):
            assert time.monotonic() < deadline, f"{thread.name}: active {found}, expected {wanted}"
            time.sleep(LOOK_SECONDS)  # the service is another process: there is no event to wait for

    def _active(self, thread: str) -> dict[str, str]:
        active = runs.c.status.in_(("queued", "running"))
        query = select(runs.c.id, runs.c.status).where(runs.c.thread_id == thread, active)
        with self.engine.connect() as db:
            return {row.id: row.status for row in db.execute(query)}

    def _wanted(self, thread: Expected) -> dict[str, str]:
        queued = {thread.runs[message]: "queued" for message in thread.queue}
        return {**queued, thread.runs[thread.holding]: "running"} if thread.holding else queued

    def check(self, thread: Expected) -> None:
        """Everything that can be seen of the thread."""
        self.quiet(thread)
        shown = self.http.get(f"/threads/{thread.name}").raise_for_status().json()
        assert shown["status"] == thread.status, (shown, thread)
        assert bool(shown["waiting"]) == bool(thread.asking), (shown, thread)
        messages = self._transcript(thread)
        assert said(messages) == thread.said, f"{thread.name}: {said(messages)} for {thread.said}"
        assert not doubled([message["id"] for message in messages])
        if thread.free:
            self._check_state(thread, messages)

    def _transcript(self, thread: Expected) -> list[dict[str, Any]]:
        """Its messages. A run that goes on may have to mend the thread before it tells its own."""
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            answer = self.http.get(f"/threads/{thread.name}/transcript", params={"limit": 200})
            messages: list[dict[str, Any]] = answer.raise_for_status().json()["messages"]
            if said(messages) == thread.said or not thread.holding or time.monotonic() > deadline:
                return messages
            time.sleep(LOOK_SECONDS)  # the service is another process: there is no event to wait for

    def _check_state(self, thread: Expected, messages: list[dict[str, Any]]) -> None:
        state = self.http.get(f"/threads/{thread.name}/state").raise_for_status().json()
        window = said(state["messages"])
        allowed = [thread.said, thread.said[:-1]] if thread.behind else [thread.said]
        assert window in [part[-len(window) :] if window else [] for part in allowed], (window, thread)
        if not thread.behind:
            for place, found in (("transcript", messages), ("state", state["messages"])):
                wrong = unanswered(thread.name, found)
                assert not wrong, f"{place}: {wrong} in {found}"

    def check_tools(self, threads: list[Expected]) -> None:
        """Calls were made once, where somebody allowed them."""
        noted = self.victim.site.noted()
        assert not doubled(noted), f"noted twice: {doubled(noted)}"
        for thread in threads:
            assert thread.allowed <= set(noted), f"not made: {thread.allowed - set(noted)}"
            assert not thread.denied & set(noted), f"made without leave: {thread.denied & set(noted)}"
        assert not self.model.refused(), "the model got a request with unanswered calls"


def body_of(thread: str, given: dict[str, Any], wishes: dict[str, Any]) -> dict[str, Any]:
    return {"input": given, "config": {"configurable": {"thread_id": thread, **wishes}}}


def said(messages: list[dict[str, Any]]) -> list[str]:
    """The ids of what the user said."""
    return [message["text"].split()[0] for message in messages if message["role"] == "user"]
