"""The description of the API: FastAPI's, with our error answers and logins in it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from server.errors import PROBLEM_JSON

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


def own_version() -> str:
    """The version of the installed service."""
    try:
        return version("waystation")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0.0.0"


def describe(app: FastAPI) -> None:
    """Make `/openapi.json` tell the truth about errors: always problem+json."""
    app.version = own_version()

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = PROBLEM
            components["securitySchemes"] = LOGINS
            schema["security"] = [{}, *({name: []} for name in LOGINS)]
            for path in schema["paths"].values():
                for operation in path.values():
                    _own_errors(operation)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change it


def _own_errors(operation: dict[str, Any]) -> None:
    answer = {
        "description": "Problem",
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if "422" in operation.get("responses", {}):
        operation["responses"]["422"] = answer
    operation.get("responses", {}).setdefault("default", answer)
