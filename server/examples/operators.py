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
SIZES = {"checkpoints": 8854, "values": 1374, "transcript": 347, "runs": 2485, "files": 0, "total": 13060}
KEY: dict[str, Any] = {
    "id": "0f1e2d3c4b5a6978",
    "name": "ada's laptop",
    "user": "ada",
    "state": "valid",
    "groups": [],
    "levels": [],
    "scopes": ["use"],
    "created_at": WHEN,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}
PLAN: dict[str, Any] = {
    "id": "p_6f1c7d3f0b5a4b6c8d9e0f1a2b3c4d5e",
    "thread_id": "harbour",
    "schedule": "0 7 * * 1-5",
    "timezone": "Europe/Berlin",
    "enabled": True,
    "payload": {},
    "metadata": {},
    "end_at": None,
    "next_at": WHEN,
    "created_at": WHEN,
    "updated_at": WHEN,
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
    ("POST", "/tasks"): Example(body={"name": "forget_tasks"}, answer={**TASK, "name": "forget_tasks"}),
    ("GET", "/tasks/known"): Example(
        answer=[{"name": "forget_tasks", "arguments": {}, "cron": "7 * * * *", "next_at": WHEN}]
    ),
    ("GET", "/breakers"): Example(
        answer=[
            {
                "pid": 4711,
                "kind": "model",
                "name": "fast",
                "state": "open",
                "since": WHEN,
                "failures": 5,
                "calls": 8,
                "reason": "the model does not answer",
            }
        ]
    ),
    ("POST", "/breakers/reset"): Example(body={"target": "all"}, answer={"reset": "all"}),
    ("GET", "/storage/top"): Example(
        query={"limit": 20},
        answer={
            "threads": [
                {
                    "thread_id": "harbour",
                    "owner": "ada",
                    "title": "What is 5 + 3?",
                    "turns": 1,
                    "checkpoints": 8,
                    "bytes": SIZES,
                }
            ],
            "totals": {
                "threads": 1,
                "checkpoints": 8,
                "bytes": SIZES,
                "database_bytes": 221184,
                "free_bytes": 0,
            },
            "duration_ms": 3.1,
        },
    ),
    ("GET", "/settings"): Example(
        query={"part": "rag"}, answer=[{"key": "rag.limit", "value": None, "origin": "default"}]
    ),
    ("GET", "/deploy/check"): Example(
        query={"limit": 50},
        answer={
            "fingerprint": "ac5bf2f0b588ee71",
            "revision": "0008",
            "head": "0008",
            "note": "",
            "checked": 0,
            "left_out": 0,
            "breaks": 0,
            "threads": [],
        },
    ),
    ("GET", "/keys"): Example(answer=[KEY]),
    ("POST", "/keys"): Example(
        body={"name": "ada's laptop", "scopes": ["use"], "days": 90},
        answer={**KEY, "expires_at": WHEN, "key": "wsk_0f1e2d3c4b5a6978_" + "A" * 43},
    ),
    ("DELETE", "/keys/{key_id}"): Example(
        path={"key_id": KEY["id"]}, answer={**KEY, "state": "revoked", "revoked_at": WHEN}
    ),
    ("GET", "/audit"): Example(
        query={"limit": 1, "what": "TurnFinished"},
        answer=[],
    ),
    ("GET", "/plans"): Example(answer=[PLAN]),
    ("DELETE", "/plans/{plan_id}"): Example(path={"plan_id": PLAN["id"]}, answer=None),
    ("GET", "/tasks/{task_id}"): Example(path=PATH, answer=TASK),
    ("POST", "/tasks/{task_id}/cancel"): Example(
        path=PATH, answer={**TASK, "status": "cancelled", "ended_at": WHEN}
    ),
}
