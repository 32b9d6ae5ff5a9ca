"""Judges answers of a service by what `/openapi.json` says of them: nothing missing, and nothing more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs

from server.examples.form import BYTES
from server.protocols.refusals import PROBLEM_JSON

JSON, EVENTS = "application/json", "text/event-stream"


class Judge:
    """Knows what is described, and holds answers to it.

    Args:
        described: The description. An object has the fields that it names; others only where it says so.
    """

    def __init__(self, described: dict[str, Any]) -> None:
        self._paths = [
            (len(re.findall(r"\{", path)), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations)
            for path, operations in described["paths"].items()
        ]
        self._paths.sort(key=lambda found: found[0])
        self._components = closed(described["components"])
        self._validators: dict[str, Any] = {}

    def faults(self, answer: httpx.Response) -> list[str]:
        """What is wrong with an answer of one of the described routes; of others, nothing is known."""
        operation = self._operation(answer.request)
        media = answer.headers.get("content-type", "").partition(";")[0]
        if operation is None or not answer.content or (answer.is_success and _gives_files(operation)):
            return []
        if media == PROBLEM_JSON:
            return self._in(answer.json(), {"$ref": "#/components/schemas/Problem"})
        told = operation["responses"].get(str(answer.status_code))
        if told is None:
            return [f"an answer {answer.status_code} is not described"]
        content = told.get("content", {}).get(media, {})
        if media == JSON:
            return self._in(answer.json(), content.get("schema"))
        if media == EVENTS:
            item = content["itemSchema"]["properties"]["data"]["contentSchema"]
            return [fault for event in _data(answer.text) for fault in self._in(event, item)]
        return []

    def _operation(self, request: httpx.Request) -> Any:
        for _, path, operations in self._paths:
            if path.fullmatch(request.url.path):
                return operations.get(request.method.lower())
        return None

    def _in(self, value: Any, schema: Any) -> list[str]:
        if schema is None:
            return ["its form is not described"]
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**closed(schema), "components": self._components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        found = self._validators[key].iter_errors(value)
        return [f"{'.'.join(map(str, e.instance_path))}: {e.message[:300]}" for e in found]


def _gives_files(operation: dict[str, Any]) -> bool:
    """What it answers is somebody's, which may be JSON too."""
    return BYTES in operation["responses"].get("200", {}).get("content", {})


def closed(schema: Any) -> Any:
    """The schema, where each object has the fields that it names and no others."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {key: value if key in ("example", "default") else closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        shut.setdefault("additionalProperties", False)
    return shut


def _data(text: str) -> Iterator[Any]:
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if lines.get("event") == "data":
            yield json.loads(lines["data"])
