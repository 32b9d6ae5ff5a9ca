"""A server's list of tools, judged tool by tool: an odd one costs itself, and is named with its field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.foreign import clean_text, fault_in
from nodes.mcp_tools.models import ToolInfo, ToolList

MOST_TOOLS = 1000
_NAME_CHARS = 256
_DESCRIPTION_CHARS = 8192
_SCHEMA_WEIGHT = 65_536
_SCHEMA_DEPTH = 32
_NAMED = 20  # left-out tools that are named one by one
_TASKS = ("forbidden", "optional")
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


class _Odd(Exception):
    """Why a tool cannot be offered: its field, and what is wrong with it."""


def judged(entries: Iterable[object], notes: Iterable[str] = ()) -> ToolList:
    """The list of a server; `notes` are what else is wrong with it."""
    found: dict[str, ToolInfo] = {}
    odd = list(notes)
    for place, entry in enumerate(entries, 1):
        if len(found) >= MOST_TOOLS:
            odd.append(f"tools after the first {MOST_TOOLS} are left out")
            break
        try:
            tool = _read(entry)
        except _Odd as why:
            odd.append(f"{_named(entry, place)} is left out: {why}")
            continue
        if tool.name in found:
            odd.append(f"another {_named(entry, place)} is left out: its name is the same")
            continue
        found[tool.name] = tool
    more = len(odd) - _NAMED
    return ToolList(tuple(found.values()), (*odd[:_NAMED], *([f"and {more} more"] if more > 0 else [])))


def _named(entry: object, place: int) -> str:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    if isinstance(name, str) and name.strip():
        return f"tool '{clean_text(name[:80])}'"
    return f"tool number {place}"


def _read(entry: object) -> ToolInfo:
    if not isinstance(entry, Mapping):
        raise _Odd("it is no object")
    name = _name(entry.get("name"))
    _tasks(entry.get("execution"))
    hints = _hints(entry.get("annotations"))
    repeatable = hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True
    return ToolInfo(name, _description(entry.get("description")), _schema(entry), repeatable)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise _Odd("name is no text" if name is not None else "name is missing")
    if not name.strip() or len(name) > _NAME_CHARS:
        raise _Odd(f"name must have 1 to {_NAME_CHARS} characters")
    if clean_text(name) != name or not name.isprintable():
        raise _Odd("name has characters that cannot be printed")
    return name


def _description(text: object) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _Odd("description is no text")
    shown = clean_text(text.strip())
    return shown if len(shown) <= _DESCRIPTION_CHARS else shown[: _DESCRIPTION_CHARS - 1] + "…"


def _tasks(execution: object) -> None:
    if execution is None:
        return
    if not isinstance(execution, Mapping):
        raise _Odd("execution is no object")
    support = execution.get("taskSupport")
    if support == "required":
        raise _Odd(
            "execution.taskSupport is 'required': it can only be called as an MCP task, which is not done"
        )
    if support is not None and support not in _TASKS:
        raise _Odd(f"execution.taskSupport is {_short(support)}, which is not known")


def _hints(annotations: object) -> Mapping[str, Any]:
    if annotations is None:
        return {}
    if not isinstance(annotations, Mapping):
        raise _Odd("annotations is no object")
    for hint in _HINTS:
        if not isinstance(annotations.get(hint), bool | None):
            raise _Odd(f"annotations.{hint} is {_short(annotations[hint])}, not true or false")
    return annotations


def _schema(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = entry.get("inputSchema")
    if not isinstance(schema, Mapping):
        raise _Odd("inputSchema is missing" if schema is None else "inputSchema is no object")
    fault = fault_in(schema, "inputSchema", depth=_SCHEMA_DEPTH, weight=_SCHEMA_WEIGHT)
    if fault:
        raise _Odd(fault)
    if schema.get("type", "object") != "object":
        raise _Odd(f"inputSchema.type is {_short(schema['type'])}, not 'object'")
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        raise _Odd("inputSchema.properties is no object")
    for name, part in properties.items():
        if not isinstance(part, Mapping | bool):
            raise _Odd(f"inputSchema.properties.{name[:80]} is no schema")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _Odd("inputSchema.required is no list of names")
    return schema


def _short(value: object) -> str:
    if isinstance(value, str):
        return f"'{clean_text(value[:60])}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return (
        "a number" if isinstance(value, int | float) else "a list" if isinstance(value, list) else "an object"
    )
