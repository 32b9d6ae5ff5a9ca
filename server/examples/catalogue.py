"""Examples of what the caller may use."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example

ADD: dict[str, Any] = {
    "name": "calculator_add",
    "description": "Add two numbers: a plus b, the sum.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
    },
}
CATALOGUE = {
    ("GET", "/models"): Example(
        answer=[
            {
                "name": "offline",
                "description": "Needs no network: calls tools and quotes passages.",
                "default": True,
            }
        ]
    ),
    ("GET", "/sources"): Example(
        answer=[
            {
                "name": "harbour",
                "type": "local",
                "display_name": "harbour",
                "description": "How the harbour works.",
                "compliance_level": "",
                "collections": [],
                "problem": "",
                "documents": 12,
                "chunks": 84,
                "skipped": 0,
                "reasons": {},
                "index": None,
            }
        ]
    ),
    ("GET", "/servers"): Example(
        answer=[
            {
                "name": "calculator",
                "description": "Exact arithmetic: add, subtract, multiply, divide, power.",
                "state": "up",
                "tools": ["calculator_add", "calculator_evaluate"],
                "require_approval": [],
                "left_out": [],
            }
        ]
    ),
    ("GET", "/tools"): Example(
        answer=[
            {
                **ADD,
                "server": "calculator",
            }
        ]
    ),
}
