"""Examples of the routes under /threads."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example

WHEN = "2026-11-25T13:51:24.244867+00:00"
RUN = "r_cb84ab899b95fcd5aeacc0394126ef2b"
CHECKPOINT = "1f1e8d74-dab2-6edb-800c-4490563f8e8b"
PATH = {"thread_id": "harbour"}

THREAD: dict[str, Any] = {
    "id": "harbour",
    "title": "Berths",
    "status": "idle",
    "turns": 1,
    "created_at": WHEN,
    "updated_at": WHEN,
}
CALL = {"id": "call_1", "name": "calculator_evaluate", "arguments": {"expression": "5 + 3"}}
SAID: list[dict[str, Any]] = [
    {"id": "m_5277b783", "role": "user", "text": "What is 5 + 3?"},
    {"id": "ai-77ffb523", "role": "assistant", "text": "", "tool_calls": [CALL]},
    {
        "id": "tool-call_1",
        "role": "tool",
        "text": "8",
        "tool_call_id": "call_1",
        "name": "calculator_evaluate",
        "server": "calculator",
        "tool": "evaluate",
        "status": "ok",
        "duration_ms": 4,
        "arguments": {"expression": "5 + 3"},
        "files": [],
    },
    {"id": "ai-e8670934", "role": "assistant", "text": "5 + 3 = 8"},
]

THREADS = {
    ("GET", "/threads"): Example(query={"status": "idle", "limit": 50}, answer=[THREAD]),
    ("POST", "/threads"): Example(
        body={"thread_id": "harbour", "title": "Berths"}, answer={**THREAD, "turns": 0}
    ),
    ("GET", "/threads/{thread_id}"): Example(path=PATH, answer=THREAD),
    ("PATCH", "/threads/{thread_id}"): Example(
        path=PATH, body={"title": "Berths in June"}, answer={**THREAD, "title": "Berths in June"}
    ),
    ("DELETE", "/threads/{thread_id}"): Example(path=PATH, answer=None),
    ("GET", "/threads/{thread_id}/transcript"): Example(
        path=PATH,
        query={"limit": 50},
        answer={
            "messages": [
                {"seq": seq, **message, "run_id": RUN, "created_at": WHEN}
                for seq, message in enumerate(SAID, start=1)
            ],
            "before": None,
        },
    ),
    ("GET", "/threads/{thread_id}/state"): Example(
        path=PATH,
        answer={"messages": SAID, "files": [], "next": [], "interrupts": [], "checkpoint_id": CHECKPOINT},
    ),
    ("GET", "/threads/{thread_id}/history"): Example(
        path=PATH,
        query={"limit": 1},
        answer={
            "checkpoints": [
                {
                    "checkpoint_id": CHECKPOINT,
                    "created_at": WHEN,
                    "step": 8,
                    "next": [],
                    "messages": 4,
                }
            ],
            "before": CHECKPOINT,
        },
    ),
}
