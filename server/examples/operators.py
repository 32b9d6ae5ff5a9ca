"""Examples of what operators and their machines ask."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example

WHEN = "2026-11-25T13:51:24.873581+00:00"
PATH = {"task_id": "204a5693da0a476eb9ba168cce603e49"}
TASK: dict[str, Any] = {
    "id": "204a5693da0a476eb9ba168cce603e49",
    "name": "rag_index",
    "status": "queued",
    "arguments": {"source": "harbour"},
    "key": "harbour",
    "owner": "system",
    "attempts": 0,
    "progress": 0.0,
    "total": None,
    "message": "",
    "error": None,
    "cancel_requested": False,
    "created_at": WHEN,
    "due_at": WHEN,
    "started_at": None,
    "ended_at": None,
}


def health(**details: Any) -> dict[str, Any]:
    return {"state": "healthy", "reason": "", "since": WHEN, "details": details}


OPERATORS = {
    ("GET", "/health/live"): Example(answer={"status": "live"}),
    ("GET", "/health/ready"): Example(answer={"status": "ready"}),
    ("GET", "/health"): Example(
        answer={
            "status": "healthy",
            "draining": False,
            "modules": {"llm": health(default="offline")},
            "platform": {"cache": health(store="memory")},
        }
    ),
    ("GET", "/metrics"): Example(
        media="text/plain",
        answer="# HELP waystation_turns_running Turns that run now.\n"
        "# TYPE waystation_turns_running gauge\nwaystation_turns_running 0.0\n",
    ),
    ("GET", "/tasks"): Example(query={"status": "queued", "limit": 50}, answer=[TASK]),
    ("GET", "/tasks/{task_id}"): Example(path=PATH, answer=TASK),
    ("POST", "/tasks/{task_id}/cancel"): Example(
        path=PATH, answer={**TASK, "status": "cancelled", "ended_at": WHEN}
    ),
}
