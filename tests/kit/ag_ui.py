"""Runs asked for by AG-UI, and their events held to the models of the protocol's package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
from ag_ui.core import Event
from pydantic import TypeAdapter

from tests.kit.http import sse
from waystation.testing.service import Service

EVENT: TypeAdapter[Any] = TypeAdapter(Event)
_PAIRS = {
    "TEXT_MESSAGE_START": ("TEXT_MESSAGE_END", "messageId"),
    "TOOL_CALL_START": ("TOOL_CALL_END", "toolCallId"),
    "REASONING_START": ("REASONING_END", "messageId"),
    "REASONING_MESSAGE_START": ("REASONING_MESSAGE_END", "messageId"),
    "STEP_STARTED": ("STEP_FINISHED", "stepName"),
}
_ENDS = {end: start for start, (end, _) in _PAIRS.items()}


def body(text: Any = "hi", **more: Any) -> dict[str, Any]:
    message = {"id": "u1", "role": "user", "content": text}
    home = f"of {text}" if isinstance(text, str) else "of parts"
    return {"threadId": home, "runId": "r1", "messages": [message], **more}


def post(service: Service, sent: Mapping[str, Any]) -> httpx.Response:
    return httpx.post(f"{service.url}/ag-ui", json=sent, timeout=60, trust_env=False)


def told(service: Service, sent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of a run. Each is one of the protocol's, without nulls, and what is opened is closed."""
    answer = post(service, sent)
    assert answer.status_code == 200, answer.text
    events = [json.loads(each["data"]) for each in sse(answer.text)]
    assert events[0]["type"] == "RUN_STARTED"
    assert events[-1]["type"] in ("RUN_FINISHED", "RUN_ERROR")
    opened: list[tuple[str, str]] = []
    for event in events:
        EVENT.validate_python(event)
        assert None not in event.values(), event
        if (kind := event["type"]) in _PAIRS:
            opened.append((kind, event[_PAIRS[kind][1]]))
        elif kind in _ENDS:
            opened.remove((_ENDS[kind], event[_PAIRS[_ENDS[kind]][1]]))
    assert opened == []
    return events


def said(events: list[dict[str, Any]], kind: str = "TEXT_MESSAGE_CONTENT") -> str:
    return "".join(event["delta"] for event in events if event["type"] == kind)
