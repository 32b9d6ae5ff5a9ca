"""Examples of where time and money of runs went, and of the graph."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example
from server.examples.langserve import RUN

WHEN = "2026-11-25T13:51:24.270669+00:00"
PATH = {"run_id": RUN}
_NONE = {"status": "ok", "attempt": 1}
_SPANS: list[dict[str, Any]] = [
    {
        "id": 0,
        "parent": None,
        "kind": "run",
        "name": "harbour",
        "status": "done",
        "attempt": 1,
        "start_ms": 0.0,
        "duration_ms": 212.4,
        "detail": {},
    },
    {
        **_NONE,
        "id": 1,
        "parent": 0,
        "kind": "step",
        "name": "call_model",
        "start_ms": 31.0,
        "duration_ms": 140.2,
        "detail": {"part": "model"},
    },
    {
        **_NONE,
        "id": 2,
        "parent": 1,
        "kind": "model",
        "name": "offline",
        "start_ms": 31.0,
        "duration_ms": 140.0,
        "detail": {"input_tokens": 145, "output_tokens": 6, "cost": 0.0, "first_token_ms": 20.1},
    },
]
_TOTALS = {
    "model_ms": 140.0,
    "tool_ms": 0.0,
    "retrieval_ms": 12.0,
    "waiting_ms": 0.0,
    "queue_ms": 0.0,
    "model_calls": 1,
    "tool_calls": 0,
    "attempts": 1,
    "events": 9,
    "input_tokens": 145,
    "output_tokens": 6,
    "cost": 0.0,
}
_SUMS = {
    "runs": 12,
    "failed": 1,
    "input_tokens": 1740,
    "output_tokens": 72,
    "cost": 0.0,
    "seconds": 3.125,
}
_STEP = {"node": "end", "status": "done", "answer": "5 + 3 = 8", "error": ""}
RAN: dict[str, Any] = {
    "run_id": RUN,
    "thread_id": "harbour",
    "status": "done",
    "reason": "",
    "attempts": 1,
    "created_at": WHEN,
    "started_at": WHEN,
    "ended_at": WHEN,
    "usage": {"input_tokens": 145, "output_tokens": 6, "model": "offline"},
    "cost": 0.0,
}
_FIGURES = {"count": 12, "errors": 0, "median_ms": 140.2, "p95_ms": 310.0, "longest_ms": 402.1}
_NODE = {
    "id": "call_model",
    "name": "call_model",
    "part": "model",
    "main": True,
    "level": 3,
    "place": 0,
    "beside": 1,
    "figures": _FIGURES,
}

INSIGHT = {
    ("GET", "/runs/counts"): Example(
        answer={
            "queued": 0,
            "running": 1,
            "interrupted": 1,
            "done": 10,
            "failed": 1,
            "cancelled": 0,
            "waiting": 1,
        }
    ),
    ("GET", "/runs/{run_id}/spans"): Example(
        path=PATH,
        answer={
            "run_id": RUN,
            "thread_id": "harbour",
            "status": "done",
            "started_at": WHEN,
            "duration_ms": 212.4,
            "spans": _SPANS,
            "marks": [],
            "totals": _TOTALS,
        },
    ),
    ("GET", "/runs/{run_id}/events/page"): Example(
        path=PATH,
        query={"after": 0, "limit": 1},
        answer={
            "events": [
                {
                    "seq": 1,
                    "run_id": RUN,
                    "type": "run_started",
                    "thread_id": "harbour",
                    "attempt": 1,
                    "at": WHEN,
                }
            ],
            "next": 1,
        },
    ),
    ("GET", "/runs/{run_id}/log"): Example(path=PATH, query={"limit": 1}, answer=[]),
    ("GET", "/runs/{run_id}/compare"): Example(
        path=PATH,
        query={"with": RUN},
        answer={"same": True, "runs": [RAN, RAN], "steps": [[_STEP], [_STEP]], "differences": []},
    ),
    ("GET", "/runs/{run_id}/recording"): Example(path=PATH, answer="{}"),
    ("POST", "/runs/{run_id}/replay"): Example(
        path=PATH,
        answer={
            "same": True,
            "status": "done",
            "answer": "5 + 3 = 8",
            "tool_calls": [],
            "interrupts": [],
            "error": None,
            "steps": [_STEP],
            "differences": [],
        },
    ),
    ("GET", "/costs"): Example(
        query={"by": "day"},
        answer={"by": "day", "rows": [{"key": "2026-11-25", **_SUMS}], "totals": _SUMS},
    ),
    ("GET", "/graph"): Example(
        answer={
            "runs": 12,
            "parts": ["config", "passages", "model", "tools", "files"],
            "nodes": [_NODE],
            "edges": [{"from": "retrieve", "to": "call_model", "conditional": False}],
        }
    ),
}
