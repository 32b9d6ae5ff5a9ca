"""JSON Schema for editors: what a person may write, where a model only describes what it makes of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Schema = dict[str, Any]

# As `core.settings.interpolate` reads them.
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
_HINT: Schema = {"type": "string", "description": "Which schema an editor checks this file with."}
_NOT_TEXT = frozenset({"integer", "number", "boolean"})
_NARROW = ("enum", "pattern")
_ABOUT = ("title", "description", "default")
_LISTS = ("anyOf", "oneOf", "allOf")
_NAMED = ("properties", "patternProperties", "$defs")


def for_editors(schema: Schema) -> Schema:
    """The schema of a whole file: with the key that names the schema, and `${VARIABLE}` for any value."""
    found: Schema = _with_variables(schema)
    places = [found, *(found[branch] for branch in ("then", "else") if branch in found)]
    for place in places:
        if place.get("additionalProperties") is False:
            place["properties"] = {"$schema": _HINT, **place.get("properties", {})}
    return found


def flat_or_under(key: str, *, entry_keys: frozenset[str]) -> Callable[[Schema], None]:
    """For `json_schema_extra` of a file whose entries stand under `key` or, without it, at the top.

    Args:
        entry_keys: Any of these makes `key` itself the name of an entry.
    """

    def extend(schema: Schema) -> None:
        entries = schema.pop("properties")[key]
        shape = {
            name: entries[name] for name in ("additionalProperties", "patternProperties") if name in entries
        }
        schema.pop("additionalProperties", None)
        an_entry = {"anyOf": [{"required": [word]} for word in sorted(entry_keys)]}
        schema["if"] = {"required": [key], "properties": {key: {"not": an_entry}}}
        schema["then"] = {"properties": {key: entries}, "additionalProperties": False}
        schema["else"] = {"properties": {"$schema": _HINT}, "additionalProperties": False, **shape}

    return extend


def _with_variables(schema: Mapping[str, Any]) -> Schema:
    """A copy in which what is no free text may also be a variable."""
    found: Schema = dict(schema)
    for name in _NAMED:
        if name in found:
            found[name] = {key: _with_variables(below) for key, below in found[name].items()}
    for name in _LISTS:
        if name in found:
            found[name] = [_with_variables(below) for below in found[name]]
    for name in ("items", "additionalProperties", "then", "else"):
        if isinstance(found.get(name), dict):
            found[name] = _with_variables(found[name])
    return _or_variable(found) if _takes_a_variable(found) else found


def _takes_a_variable(schema: Schema) -> bool:
    kind = schema.get("type")
    return kind in _NOT_TEXT or (kind == "string" and any(word in schema for word in _NARROW))


def _or_variable(schema: Schema) -> Schema:
    about = {name: schema.pop(name) for name in _ABOUT if name in schema}
    return {**about, "anyOf": [schema, _VARIABLE]}
