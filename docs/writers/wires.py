"""docs/reference/wires.md: the routes of protocols, what is read of a body, and the types of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, get_args

from fastapi.routing import APIRoute

from docs.writers.markdown import code, document, table
from server.protocols.table import WIRES, Wire

TITLES = {
    "openai": "OpenAI",
    "langgraph": "LangGraph SDK",
    "mcp": "MCP",
    "ag-ui": "AG-UI",
    "a2a": "A2A",
}
# What a protocol's own package calls its answers.
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "openai": (
        "openai.types:Model",
        "openai.types.chat:ChatCompletion",
        "openai.types.chat:ChatCompletionChunk",
        "openai.types.responses:Response",
        "openai.types.responses:ResponseItemList",
        "openai.types:CreateEmbeddingResponse",
        "openai.types:FileObject",
    ),
    "langgraph": tuple(
        f"langgraph_sdk.schema:{name}"
        for name in ("Assistant", "Thread", "ThreadState", "Run", "Cron", "Item")
    ),
    "mcp": ("mcp.types:JSONRPCResponse", "mcp.types:CallToolResult", "mcp.types:Tool"),
    "ag-ui": ("ag_ui.core:BaseEvent",),
    "a2a": ("a2a.types:Task", "a2a.types:StreamResponse", "a2a.types:AgentCard"),
}
# Bodies that routes read by themselves; those of MCP and A2A are JSON-RPC 2.0.
_RPC = "mcp.types:JSONRPCRequest"
BODIES = {"run_agent": "ag_ui.core:RunAgentInput", "post": _RPC, "call_method": _RPC}


def page() -> str:
    """A part for each protocol."""
    return document(
        "Routes of protocols",
        "What clients of others ask, beside [our own routes](openapi.json). A protocol's own documentation "
        "says what its fields mean. Answers are of the types of its own package, with those of their fields "
        "that have something to say.",
        *(part for wire in WIRES for part in _of(wire)),
    )


def _of(wire: Wire) -> Iterator[str]:
    yield f"## {TITLES[wire.name]}"
    routers = (wire.router, *([wire.beside] if wire.beside else ()))
    found = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    yield table(("route", "does", "reads"), [_row(route) for route in found])
    answers = [(code(name.replace(":", ".")), _listed(_fields(name))) for name in ANSWERS[wire.name]]
    yield table(("answer", "fields"), answers)


def _row(route: APIRoute) -> tuple[str, str, str]:
    does = (route.endpoint.__doc__ or "").partition("\n")[0]
    [method] = route.methods or ("",)
    return code(f"{method} {route.path}"), does, _listed(list(_read(route)))


def _read(route: APIRoute) -> Iterator[str]:
    for body in route.dependant.body_params:
        kind: Any = body.field_info.annotation
        kind = next(iter(get_args(kind)), kind)
        yield from sorted(kind.model_fields)
    if where := BODIES.get(route.endpoint.__name__):
        yield from _fields(where)


def _fields(where: str) -> list[str]:
    """The names of the fields of a type of a package, however it is made: pydantic, TypedDict, protobuf."""
    module, _, name = where.partition(":")
    kind: Any = getattr(import_module(module), name)
    if hasattr(kind, "model_fields"):
        return sorted(field.alias or name for name, field in kind.model_fields.items())
    if hasattr(kind, "DESCRIPTOR"):
        return sorted(field.json_name for field in kind.DESCRIPTOR.fields)
    return sorted(kind.__annotations__)


def _listed(names: list[str]) -> str:
    return ", ".join(map(code, names))
