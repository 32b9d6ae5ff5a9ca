"""Examples of the parts behind a turn, looked at and tried."""

from __future__ import annotations

from server.examples.catalogue import ADD
from server.examples.form import Example

_WHEN = "2026-11-25T13:51:24.270669+00:00"
_SERVER = {"server": "calculator"}
_STATE = {
    "state": "up",
    "transport": "stdio",
    "since": _WHEN,
    "tools": 6,
    "restarts": 0,
    "last_error": "",
    "left_out": [],
}

PARTS = {
    ("GET", "/sources/{source}/documents"): Example(
        path={"source": "harbour"},
        query={"limit": 200},
        answer={
            "total": 1,
            "documents": [
                {
                    "name": "handbook.md",
                    "chunks": 2,
                    "size": 225,
                    "modified": 1795614684.27,
                    "language": "english",
                    "problem": "",
                    "notes": [],
                }
            ],
        },
    ),
    ("GET", "/sources/{source}/chunks"): Example(
        path={"source": "harbour"},
        query={"document": "handbook.md"},
        answer=[{"title": "Tides", "text": "…", "start": 0, "end": 120, "uri": "handbook.md"}],
    ),
    ("POST", "/sources/{source}/query"): Example(
        path={"source": "harbour"},
        body={"query": "When is the harbour open?", "limit": 4},
        answer={
            "passages": [
                {
                    "n": 1,
                    "source": "harbour",
                    "document": "handbook.md",
                    "title": "Hours",
                    "text": "…",
                    "score": 0.8,
                    "uri": "handbook.md",
                    "start": 0,
                    "end": 120,
                }
            ],
            "failed": [],
            "duration_ms": 12.5,
        },
    ),
    ("GET", "/servers/{server}"): Example(
        path=_SERVER,
        answer={
            "name": "calculator",
            "description": "Exact arithmetic: add, subtract, multiply, divide, power.",
            **_STATE,
            "tools": [
                {
                    **ADD,
                    "tool": "add",
                    "approval": False,
                }
            ],
        },
    ),
    ("GET", "/servers/{server}/log"): Example(
        path=_SERVER, query={"lines": 50}, answer={"server": "calculator", "lines": []}
    ),
    ("POST", "/servers/{server}/restart"): Example(path=_SERVER, answer={**_SERVER, **_STATE}),
    ("POST", "/tools/{tool}/call"): Example(
        path={"tool": "calculator_add"},
        body={"arguments": {"a": 5, "b": 3}},
        answer={
            "server": "calculator",
            "tool": "add",
            "status": "ok",
            "duration_ms": 4,
            "content": "8",
            "files": [],
        },
    ),
}
