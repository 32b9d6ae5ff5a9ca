"""Schemas of tools, mended to what an endpoint takes. Which mends it wants stands in its profile."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import orjson

from core.foreign import storable

_DEEPEST = 32
# What a schema may grow to where references are replaced by what they name.
_MOST_PLACES = 5_000
_KEPT = 16

_COMBINED = ("allOf", "anyOf", "oneOf")
_AT_TOP = (*_COMBINED, "not", "enum", "const", "if", "then", "else", "dependentSchemas")
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LISTED = (*_COMBINED, "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")

_LEFT_OUT: Mapping[str, Collection[str]] = {
    "no_meta": ("$schema", "$id", "$comment", "title", "examples", "default"),
    "no_refs": ("$defs", "definitions"),
    "no_additional": ("additionalProperties", "patternProperties", "propertyNames", "unevaluatedProperties"),
    "no_bounds": ("exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


class ToolSchemas:
    """Tools as one endpoint takes them. What was mended once is kept: turns offer the same tools again."""

    def __init__(self, mends: Collection[str]) -> None:
        self._mends = frozenset(mends)
        self._kept: dict[bytes, orjson.Fragment] = {}

    def encoded(self, tools: Sequence[Mapping[str, Any]]) -> orjson.Fragment:
        """The list of tools as JSON."""
        try:
            key = orjson.dumps(list(tools))
        except TypeError:
            key = orjson.dumps(storable(list(tools), weight=None))
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            found = self._kept[key] = orjson.Fragment(orjson.dumps(self.mended(orjson.loads(key))))
        return found

    def mended(self, tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The list of tools."""
        return [self._tool(dict(tool)) for tool in storable(list(tools), weight=None)]

    def _tool(self, tool: dict[str, Any]) -> dict[str, Any]:
        function = tool.get("function")
        if not isinstance(function, dict):
            return tool
        return {
            **tool,
            "function": {**function, "parameters": mended(function.get("parameters"), self._mends)},
        }


def mended(schema: Any, mends: Collection[str]) -> dict[str, Any]:
    """The schema of a tool's arguments, with these mends made (see `profile.SCHEMA_MENDS`)."""
    return _Mender(schema if isinstance(schema, dict) else {}, mends).whole()


class _Mender:
    def __init__(self, root: dict[str, Any], mends: Collection[str]) -> None:
        self._root = root
        self._mends = mends
        self._places = 0

    def whole(self) -> dict[str, Any]:
        schema = self._root
        if "$ref" in schema and "properties" not in schema:
            schema = {**schema, **self._named(schema["$ref"])}
            schema.pop("$ref")
        if "top_combinator" in self._mends:
            schema = self._folded(schema)
        schema = self._mended(schema, 0, ())
        return _object(schema) if "top_object" in self._mends else schema

    def _folded(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Alternatives at the top, as one object: a property may be there, and must where all ask for it."""
        if not any(key in schema for key in _AT_TOP):
            return schema
        properties = dict(schema["properties"]) if isinstance(schema.get("properties"), dict) else {}
        required = list(_strings(schema.get("required")))
        for key in _COMBINED:
            found = [branch for branch in _listed(schema.get(key)) if isinstance(branch, dict)]
            branches = [self._resolved(branch) for branch in found]
            for branch in branches:
                named = branch.get("properties")
                for name, part in (named if isinstance(named, dict) else {}).items():
                    properties.setdefault(name, part)
            asked = [set(_strings(branch.get("required"))) for branch in branches]
            if asked:
                every = set.union(*asked) if key == "allOf" else set.intersection(*asked)
                required += sorted(every - set(required))
        kept = {key: value for key, value in schema.items() if key not in _AT_TOP}
        folded = {**kept, "type": "object", "properties": properties}
        return {**folded, "required": required} if required else folded

    def _mended(self, schema: Any, deep: int, open_refs: tuple[str, ...]) -> dict[str, Any]:
        self._places += 1
        if not isinstance(schema, dict) or deep > _DEEPEST or self._places > _MOST_PLACES:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and "no_refs" in self._mends:
            if reference in open_refs:
                return {"type": "object"}
            open_refs = (*open_refs, reference)
            schema = {**self._named(reference), **{k: v for k, v in schema.items() if k != "$ref"}}
        schema = self._inner(self._pruned(schema), deep + 1, open_refs)
        return self._typed(schema)

    def _pruned(self, schema: dict[str, Any]) -> dict[str, Any]:
        gone = {key for mend in self._mends for key in _LEFT_OUT.get(mend, ())}
        return {key: value for key, value in schema.items() if key not in gone}

    def _inner(self, schema: dict[str, Any], deep: int, refs: tuple[str, ...]) -> dict[str, Any]:
        made = dict(schema)
        for key, value in schema.items():
            if key in _ONE and isinstance(value, dict):
                made[key] = self._mended(value, deep, refs)
            elif key in _LISTED and isinstance(value, list):
                made[key] = [self._mended(item, deep, refs) for item in value]
            elif key in _NAMED and isinstance(value, dict):
                made[key] = {name: self._mended(item, deep, refs) for name, item in value.items()}
        return made

    def _typed(self, schema: dict[str, Any]) -> dict[str, Any]:
        for mend, change in _CHANGES.items():
            if mend in self._mends:
                schema = change(schema)
        return schema

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {**schema, **self._named(schema["$ref"])} if "$ref" in schema else schema

    def _named(self, reference: Any) -> dict[str, Any]:
        """What a reference within the schema names; nothing where it names nothing here."""
        found: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return {}
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) and "$ref" not in found else {}


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    made = {**schema, "type": "object", "properties": known}
    made.pop("items", None)
    asked = [name for name in _strings(schema.get("required")) if name in known]
    if "required" in made and not asked:
        del made["required"]
    return {**made, "required": asked} if asked else made


def _array_items(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if kind != "array" and not (isinstance(kind, list) and "array" in kind):
        return schema
    items = schema.get("items")
    if isinstance(items, list):  # a form for each place, as older drafts of JSON Schema have it
        return {**schema, "items": {"anyOf": items} if items else {}}
    return schema if isinstance(items, dict) else {**schema, "items": {}}


def _typed_items(schema: dict[str, Any]) -> dict[str, Any]:
    items = schema.get("items")
    if isinstance(items, dict) and not any(key in items for key in ("type", "$ref", *_COMBINED)):
        return {**schema, "items": {"type": "string", **items}}
    return schema


def _no_unions(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, list):
        schema = {**schema, "type": next((one for one in kind if one != "null"), "string")}
    branches = [branch for key in ("oneOf", "allOf") for branch in _listed(schema.get(key))]
    if not branches:
        return schema
    kept = {key: value for key, value in schema.items() if key not in _COMBINED}
    return {**kept, "anyOf": [*_listed(schema.get("anyOf")), *branches]}


def _no_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    if "const" not in schema:
        return schema
    kept = {key: value for key, value in schema.items() if key != "const"}
    return {**kept, "enum": [schema["const"]]}


def _string_enums(schema: dict[str, Any]) -> dict[str, Any]:
    values = schema.get("enum")
    if not isinstance(values, list) or all(isinstance(value, str) for value in values):
        return schema
    return {**schema, "type": "string", "enum": [_as_text(value) for value in values if value is not None]}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _no_formats(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("format") in (None, "date-time"):
        return schema
    return {key: value for key, value in schema.items() if key != "format"}


_CHANGES = {
    "no_unions": _no_unions,
    "array_items": _array_items,
    "typed_items": _typed_items,
    "no_bounds": _no_bounds,
    "string_enums": _string_enums,
    "no_formats": _no_formats,
}


def _listed(value: Any) -> list[Any]:
    """A list that may be none."""
    return value if isinstance(value, list) else []


def _strings(value: Any) -> Iterator[str]:
    return (item for item in _listed(value) if isinstance(item, str))
