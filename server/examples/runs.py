"""Examples of the routes of runs."""

from __future__ import annotations

from typing import Any

from server.examples.form import EVENT_STREAM, Example, events
from server.examples.insight import INSIGHT, PATH, RAN
from server.examples.langserve import QUESTION, REPLY, RUN

QUESTION_ID = "e6f47555927c372f34d2c437a53f8ab1"
ACCEPTED = {"run_id": RUN, "thread_id": "harbour", "status": "queued"}
ENDED: dict[str, Any] = {**RAN, "output": REPLY, "error": None}
LISTED = {
    **ENDED,
    "cursor": "c.WyJydW4iLDE3OTYwNDY2ODQuMjQ0ODY3LCJyX2NiODRhYjg5OWI5NWZjZDVhZWFjYzAzOTQxMjZlZjJiIl0",
}
MINE = {**LISTED, "user": "ada", "message": "What is 5 + 3?"}
_STARTED = f'{{"seq":1,"run_id":"{RUN}","type":"run_started","thread_id":"harbour","attempt":1}}'
_DONE = f'{{"seq":9,"run_id":"{RUN}","type":"done","answer":"5 + 3 = 8","status":"done"}}'

RUNS = {
    ("POST", "/threads/{thread_id}/runs"): Example(
        path={"thread_id": "harbour"},
        body={"input": QUESTION, "configurable": {"model": "offline"}, "on_busy": "enqueue"},
        answer=ACCEPTED,
    ),
    ("GET", "/threads/{thread_id}/runs"): Example(
        path={"thread_id": "harbour"}, query={"limit": 50}, answer=[LISTED]
    ),
    ("GET", "/runs"): Example(query={"status": "done", "limit": 50}, answer=[MINE]),
    **INSIGHT,
    ("GET", "/runs/{run_id}"): Example(path=PATH, answer=ENDED),
    ("GET", "/runs/{run_id}/events"): Example(
        path=PATH,
        query={"after": 0},
        media=EVENT_STREAM,
        answer=events(
            f"id: 1\nevent: data\ndata: {_STARTED}", f"id: 9\nevent: data\ndata: {_DONE}", "event: end"
        ),
    ),
    ("GET", "/runs/{run_id}/wait"): Example(path=PATH, query={"timeout": 60}, answer=ENDED),
    ("POST", "/runs/{run_id}/cancel"): Example(path=PATH, answer={**ACCEPTED, "status": "running"}),
    ("POST", "/runs/{run_id}/resume"): Example(
        path=PATH,
        body={"resume": {QUESTION_ID: {"approve": True}}},
        answer={**ACCEPTED, "status": "running"},
    ),
}
