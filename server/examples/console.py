"""Examples of the routes that pages needed first."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example
from server.examples.insight import WHEN
from server.examples.langserve import RUN
from server.examples.runs import QUESTION_ID

_TEXT = "May clock run 'now'?"
_ARGUMENTS = {"zone": "UTC"}
_CALL = {"id": "call_1", "server": "clock", "tool": "now", "arguments": _ARGUMENTS}
ASKED: dict[str, Any] = {
    "id": QUESTION_ID,
    "kind": "approval",
    "call": _CALL,
    "detail": _TEXT,
    "action_requests": [{"name": "clock_now", "args": None, "description": _TEXT}],
    "review_configs": [
        {
            "action_name": "clock_now",
            "allowed_decisions": ["approve", "edit", "reject", "respond"],
            "args_schema": None,
        }
    ],
    "asked": "9b0c7a51d3e2f846",
}

CONSOLE = {
    ("GET", "/questions"): Example(
        query={"status": "waiting"},
        answer=[
            {
                "thread_id": "harbour",
                "thread_title": "Berths",
                "run_id": RUN,
                "asked_at": WHEN,
                "question": ASKED,
                "cursor": "c.WyJxdWVzdGlvbiIsMTc5NjA0NjY4NC4yNDQ4NjcsImhhcmJvdXIiXQ",
            }
        ],
    ),
    ("GET", "/questions/count"): Example(answer={"waiting": 1}),
    ("GET", "/session"): Example(
        answer={
            "user": "ada@example.com",
            "groups": ["staff"],
            "levels": [],
            "scopes": ["use"],
            "expires_at": None,
        }
    ),
    ("DELETE", "/session"): Example(answer=None),
    ("POST", "/console/markdown"): Example(
        body={"texts": ["**Berths** are reserved for *fourteen* days."]},
        answer={
            "html": ["<p><strong>Berths</strong> are reserved for <em>fourteen</em> days.</p>\n"],
        },
    ),
}
