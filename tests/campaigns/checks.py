"""What has to hold of a service's threads, runs and tools after a death. Each check says what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import httpx
from sqlalchemy import create_engine, select
from sqlalchemy.engine import Engine

from core.database.servers import read_url
from graph.db.tables import receipts, runs, threads
from tests.campaigns.journal import Journal, compare, doubled
from tests.campaigns.victims import Site, gone

SETTLE_SECONDS = 45.0
TOOLS_GONE_SECONDS = 10.0


def reader(site: Site) -> Engine:
    """A connection of our own to the service's database."""
    url = read_url(str(site.database))
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return create_engine(url)


def unsettled(engine: Engine) -> list[str]:
    """Runs that go on or wait, and threads that are held."""
    active = select(runs.c.id, runs.c.status).where(runs.c.status.in_(("queued", "running")))
    held = select(threads.c.id, threads.c.status).where(
        threads.c.run_id.is_not(None) | (threads.c.status == "running")
    )
    with engine.connect() as db:
        found = [f"run {row.id} is {row.status}" for row in db.execute(active)]
        return found + [f"thread {row.id} is held ({row.status})" for row in db.execute(held)]


async def settled(engine: Engine) -> list[str]:
    """Wait until nothing goes on any more; what still does is busy for ever."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while found := unsettled(engine):
        if time.monotonic() > deadline:
            return [f"busy for ever: {each}" for each in found]
        await asyncio.sleep(0.02)  # the service is another process: there is no event to wait for
    return []


def runs_per_key(engine: Engine) -> list[str]:
    with engine.connect() as db:
        keys = [row[0] for row in db.execute(select(runs.c.idempotency_key)) if row[0]]
    return [f"the key {key} has several runs" for key in doubled(keys)]


def background_ended(engine: Engine, journal: Journal) -> list[str]:
    """Background runs survive their process: each acknowledged one has been done."""
    wanted = {sent.run_id: sent.id for sent in journal.sent if sent.how == "background" and sent.run_id}
    query = select(runs.c.id, runs.c.status, runs.c.reason).where(runs.c.id.in_(wanted))
    with engine.connect() as db:
        found = {row.id: f"{row.status} ({row.reason})" for row in db.execute(query)}
    return [
        f"background run of {name} is {found.get(run_id, 'not there')}"
        for run_id, name in wanted.items()
        if not found.get(run_id, "").startswith("done")
    ]


def tools_gone(site: Site, living: set[int]) -> list[str]:
    """Tool servers of services that are dead."""
    # A number may belong to somebody else by now: a tool server of this site names it in its command.
    old = [pid for pid in site.tool_pids() if pid not in living and site.is_tool(pid)]
    if gone(old, TOOLS_GONE_SECONDS):
        return []
    return [f"the tool server {pid} outlived its service" for pid in old if site.is_tool(pid)]


class Threads:
    """Reads threads over HTTP and holds them against the journal."""

    def __init__(self, http: httpx.AsyncClient, journal: Journal) -> None:
        self._http = http
        self._journal = journal
        # Arguments of calls that the transcripts say were made, with what they came to.
        self.calls: dict[str, str] = {}

    async def check(self, thread: str) -> list[str]:
        """The thread's transcript and state against what was sent to it."""
        if not any(sent.must_stand for sent in self._journal.of(thread)):
            return []  # it may not even be there
        messages = await self._transcript(thread)
        wrong = compare(self._journal.of(thread), _asked(messages), place=f"transcript of {thread}")
        wrong += [f"{thread}: message {name} stands twice" for name in doubled([m["id"] for m in messages])]
        state = (await self._http.get(f"/threads/{thread}/state")).raise_for_status().json()
        window = _asked(state["messages"])
        stored = _asked(messages)
        if window != stored[len(stored) - len(window) :] or len(window) < min(len(stored), 20):
            wrong.append(f"state of {thread} has {window}, its transcript {stored}")
        return wrong + self._calls(thread, messages) + unanswered(thread, state["messages"])

    async def _transcript(self, thread: str) -> list[dict[str, Any]]:
        answer = await self._http.get(f"/threads/{thread}/transcript", params={"limit": 200})
        page = answer.raise_for_status().json()
        assert page["before"] is None, "campaigns keep threads shorter than a page"
        found: list[dict[str, Any]] = page["messages"]
        return found

    def _calls(self, thread: str, messages: list[dict[str, Any]]) -> list[str]:
        for message in messages:
            if message["role"] == "tool" and message.get("arguments"):
                self.calls[message["arguments"]["key"]] = message["status"]
        return unanswered(thread, messages)

    def noted(self, site: Site) -> list[str]:
        """What the tool did against what the transcripts say that it did."""
        counts = Counter(site.noted())
        wrong = [f"the tool noted {key} {count} times" for key, count in counts.items() if count > 1]
        wrong += [
            f"the call {key} is said to have been made, and was not"
            for key, status in self.calls.items()
            if status == "ok" and not counts[key]
        ]
        return wrong

    def receipts(self, engine: Engine, site: Site) -> list[str]:
        """Receipts with an outcome are of calls that were made."""
        with engine.connect() as db:
            kept = [row[0] for row in db.execute(select(receipts.c.outcome)) if row[0]]
        made = [outcome["arguments"]["key"] for outcome in kept if outcome["status"] == "ok"]
        missing = set(made) - set(site.noted())
        return [f"there is a receipt for {key}, which was not noted" for key in missing]


def _asked(messages: list[dict[str, Any]]) -> list[str]:
    """The ids of what the user said."""
    return [message["text"].split()[0] for message in messages if message["role"] == "user"]


def unanswered(thread: str, messages: list[dict[str, Any]]) -> list[str]:
    """Calls that no message answers."""
    wanted = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
    answers = [message.get("tool_call_id") for message in messages if message["role"] == "tool"]
    wrong = [f"{thread}: the call {name} has no answer" for name in wanted if name not in answers]
    return wrong + [f"{thread}: the call {name} has two answers" for name in doubled(map(str, answers))]
