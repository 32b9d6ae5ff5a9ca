"""docs/reference/settings.md: every key of the configuration."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from core.registry import discover, files_of, sections_of
from core.settings import ConfigFile, Section
from docs.writers.markdown import code, document, first_line, table
from docs.writers.meanings import meaning_of
from nodes.mcp_tools.plugins import PluginManifest

COLUMNS = ("key", "type", "default", "meaning")
PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    Any: "anything",
}
LIMITS = {Ge: ("ge", "at least"), Gt: ("gt", "more than"), Le: ("le", "at most"), Lt: ("lt", "less than")}


def page() -> str:
    """Sections of waystation.yaml, then the other files."""
    modules = discover()
    return document(
        "Settings",
        "How files, variables and defaults come together stands in [configuration](../configuration.md).",
        *(_section(section) for section in sections_of(modules)),
        *(_file(file) for file in files_of(modules)),
        "\n\n".join(["## plugin.json", first_line(PluginManifest.__doc__), _table(PluginManifest)]),
    )


def _section(section: Section) -> str:
    variable = f"WAYSTATION_{section.name.upper()}__<KEY>"
    heading = f"## waystation.yaml: {section.name}"
    about = f"{first_line(section.model.__doc__)} As variables: `{variable}`."
    return "\n\n".join([heading, about, _table(section.model)])


def _file(file: ConfigFile) -> str:
    names = " or ".join(code(name) for name in file.names)
    entries = [
        f"### {file.names[0]}: {_kind(model)}\n\n{first_line(model.__doc__)}\n\n{_table(model)}"
        for model in _entries(file.model)
    ]
    return "\n\n".join([f"## {file.names[0]}", f"Read from {names}: the first that exists.", *entries])


def _kind(model: type[BaseModel]) -> str:
    """What an entry is told apart by: its `type` where it has one."""
    named = model.model_fields.get("type")
    options = get_args(named.annotation) if named else ()
    return f"an entry of type {options[0]}" if options else "an entry"


def _entries(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        yield from _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for option in get_args(annotation):
        yield from _models_in(option)


def _table(model: type[BaseModel]) -> str:
    return table(COLUMNS, _rows(model, ""))


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = list(_models_in(field.annotation))
        if inner and not isinstance(field.annotation, types.GenericAlias):
            yield from _rows(inner[0], f"{key}.")
        else:
            meaning = field.description or meaning_of(key)
            yield code(key), spelled(field.annotation, field.metadata), _default(field), meaning


def spelled(annotation: Any, limits: list[Any] | tuple[Any, ...] = ()) -> str:
    """A type in words, with its limits."""
    return ", ".join([_type(annotation), *filter(None, map(_limit, limits))])


def _type(annotation: Any) -> str:  # noqa: PLR0911 - one line per kind of type reads best
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return spelled(args[0], args[1:])
    if annotation in (SecretStr, SecretBytes):
        return "secret text"
    if origin is Literal:
        return "one of " + ", ".join(code(str(arg)) for arg in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(arg) for arg in args if arg is not type(None))
    if origin is list:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"mapping of text to {_type(args[1])}"
    return PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limit(limit: Any) -> str:
    if isinstance(limit, MinLen):
        return f"at least {limit.min_length} long"
    if isinstance(limit, MaxLen):
        return f"at most {limit.max_length} long"
    found = LIMITS.get(type(limit))
    return f"{found[1]} {getattr(limit, found[0])}" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, (SecretStr, SecretBytes)):
        value = ""
    return "" if value is None else code(orjson.dumps(value, default=str).decode())
