"""The description of the API: FastAPI's, with our error answers, logins and examples in it."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from core.errors import Internal
from core.identity.errors import NotAuthenticated
from core.installed import installed_version
from server.errors import InvalidRequest
from server.examples import EXAMPLES, Example
from server.examples.form import BYTES, EVENT_STREAM, JSON
from server.routes.common import described
from server.shapes.streams import STREAMS, item_schema

_SCHEMAS = "#/components/schemas/"
_BARE = frozenset({"type", "title", "description", "default"})
PROBLEM = {
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; `detail` is for people.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "message": {"type": "string", "description": "As `detail`, for clients of LangServe."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


# Which of them counts is the service's setting; in mode none, none is needed.
LOGINS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}


def describe(app: FastAPI) -> None:
    """Make `/openapi.json` tell the truth about errors (always problem+json), and show examples."""
    app.version = installed_version()

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = PROBLEM
            components["securitySchemes"] = LOGINS
            schema["security"] = [{}, *({name: []} for name in LOGINS)]
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    _complete((method.upper(), path), operation, components["schemas"])
            _ease_requests(schema)
            _without_unused(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change it


def _complete(route: tuple[str, str], operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    _own_errors(operation)
    if example := EXAMPLES.get(route):
        _show(operation, example)
    if route in STREAMS:
        answer, item = _answer_of(operation), item_schema(route, schemas)
        answer["content"][EVENT_STREAM]["itemSchema"] = item
        # Pages of people do not show it.
        [name] = _named(item)
        answer["description"] = f"Server-sent events; the `data` of each is a {name} of the schemas."


def _own_errors(operation: dict[str, Any]) -> None:
    answers = operation.get("responses", {})
    if JSON in answers.get("422", {}).get("content", {}):  # FastAPI's own form of it, which is never sent
        answers["422"] = described(InvalidRequest)
    answers.setdefault("default", described(NotAuthenticated, Internal))


def _show(operation: dict[str, Any], example: Example) -> None:
    """Put the example into the operation, where tools that draw the description look for it."""
    for name in ("summary", "description"):
        operation[name] = getattr(example, name) or operation.get(name)
    given = {**example.path, **example.query}
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in given:
            parameter["example"] = given[parameter["name"]]
    if example.body is not None:
        body = operation.setdefault("requestBody", {"required": True, "content": {}})
        body["content"].setdefault(example.sends, {"schema": {}})["example"] = example.body
    if example.answer is not None:
        _show_answer(operation, example)


def _show_answer(operation: dict[str, Any], example: Example) -> None:
    answer = _answer_of(operation)
    content = answer.get("content", {})
    # What is streamed or served as it is stored appears to FastAPI as JSON, or as nothing.
    schema = {"schema": {"type": "string"}}
    if example.media == JSON:
        schema = {
            "schema": content.get(JSON, {}).get("schema") or {"type": "object", "additionalProperties": True}
        }
    if example.media == BYTES:
        # Of any type. Clients that are generated read what is said to be text as text, and spoil a PDF.
        schema = {"schema": {"type": "string", "format": "binary"}}
    answer["content"] = {example.media: {**schema, "example": example.answer}}


def _answer_of(operation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(a for status, a in operation["responses"].items() if status.startswith("2"))
    return found


def _ease_requests(schema: dict[str, Any]) -> None:
    """Say defaults of request bodies in words: to generators a field that has one must be there.

    And an object of which nothing is known may have fields, which some of them take for one that has none.
    """
    for name in _reached({"of": [each.get("requestBody") for each in _operations(schema)]}, schema):
        one = schema["components"]["schemas"][name]
        for field, about in one.get("properties", {}).items():
            if about.keys() <= _BARE and about.get("type") == "object":
                about["additionalProperties"] = True
            default = about.pop("default", None) if field not in one.get("required", ()) else None
            if default not in (None, "", [], {}):
                said = f"By default {json.dumps(default)}."
                about["description"] = f"{about.get('description', '')} {said}".strip()


def _operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for operations in schema["paths"].values() for each in operations.values()]


def _without_unused(schema: dict[str, Any]) -> None:
    """Take away schemas that nothing names: generators give up where two have the same title."""
    wanted = _reached(schema["paths"], schema)
    known = schema["components"]["schemas"]
    schema["components"]["schemas"] = {name: one for name, one in known.items() if name in wanted}


def _reached(part: Any, schema: dict[str, Any]) -> set[str]:
    """Schemas that a part of the description names, and those that they name."""
    known = schema["components"]["schemas"]
    wanted, found = set[str](), _named(part)
    while found:
        wanted |= found
        found = {name for each in found for name in _named(known[each])} - wanted
    return wanted


def _named(value: Any) -> set[str]:
    """Schemas that stand in a part of the description."""
    if isinstance(value, list):
        return {name for one in value for name in _named(one)}
    if not isinstance(value, dict):
        return set()
    here = value.get("$ref")
    own = {here.removeprefix(_SCHEMAS)} if isinstance(here, str) and here.startswith(_SCHEMAS) else set()
    return own | {name for one in value.values() for name in _named(one)}
