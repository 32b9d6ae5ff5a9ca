"""Examples of what operators and their machines ask."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example

WHEN = "2026-11-25T13:51:24.873581+00:00"
PATH = {"task_id": "task_4f0c2a"}


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
}
