"""From the arguments that a model wrote to those that a server gets."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from core.shapes import mismatch, short, validator_of
from nodes.mcp_tools.models import ExecutionContext
from nodes.mcp_tools.ports import FileLinks
from nodes.mcp_tools.settings import FILLED_IN

MALFORMED = "__malformed__"  # under this key the llm module hands on text that is no JSON object
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|file:", re.IGNORECASE)
FILE_PARAMETERS = ("filename", "file_names")


def problem_with(
    arguments: Mapping[str, Any], schema: Mapping[str, Any], *, hidden: Sequence[str] = FILLED_IN
) -> str:
    """What is wrong with the arguments, in words for the model; empty when nothing is."""
    if MALFORMED in arguments:
        return (
            f"the arguments are not a JSON object: {short(arguments[MALFORMED])}. "
            f"Call the tool again with a JSON object. {_expected(schema, hidden)}"
        )
    place, why = mismatch(dict(arguments), schema, validator_for_it=_kept_validator)
    if not why:
        return ""
    return f"{f'argument {place!r}: ' if place else ''}{why}. {_expected(schema, hidden)}"


# By identity, with the schema so that its place is not taken: a tool's is read once and stays as it is.
_VALIDATORS: OrderedDict[int, tuple[Mapping[str, Any], Any]] = OrderedDict()
_MOST_VALIDATORS = 512


def _kept_validator(schema: Mapping[str, Any]) -> Any:
    """Made once for a tool: it takes many times as long as to look at a call."""
    known = _VALIDATORS.get(id(schema))
    if known is not None:
        return known[1]
    validator = validator_of(schema)
    _VALIDATORS[id(schema)] = schema, validator
    if len(_VALIDATORS) > _MOST_VALIDATORS:
        _VALIDATORS.popitem(last=False)
    return validator


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a tool; none where the schema has something else in their place."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def required_of(schema: Mapping[str, Any]) -> list[str]:
    """Names of the parameters that must be given."""
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _expected(schema: Mapping[str, Any], hidden: Sequence[str]) -> str:
    required = set(required_of(schema))
    shown = [
        f"{name} ({_type(part)}{'' if name in required else ', optional'})"
        for name, part in properties_of(schema).items()
        if name not in hidden
    ]
    return f"Parameters: {', '.join(shown)}." if shown else "The tool takes no parameters."


def _type(part: Any) -> str:
    kind = part.get("type", "any") if isinstance(part, Mapping) else "any"
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are one in JSON, where true is not 1, and 5.0 is 5."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def foreign_address(arguments: Mapping[str, Any]) -> str:
    """An address that the model wrote where a file's name belongs; empty when there is none.

    Only we put addresses there: a tool that fetches what a model wrote could
    be led to any host that this machine reaches.
    """
    for name in FILE_PARAMETERS:
        value = arguments.get(name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and _ADDRESS.match(item.strip()):
                return short(item, 80)
    return ""


def cleaned(value: Any) -> Any:
    """`value` without lone surrogates, which JSON for a server cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {cleaned(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value


def with_user(
    arguments: Mapping[str, Any],
    schema: Mapping[str, Any],
    user: str,
    *,
    hidden: Sequence[str] = FILLED_IN,
) -> dict[str, Any]:
    """The user's name where the tool asks for it, whatever the model wrote there."""
    asked = [name for name in hidden if name in properties_of(schema)]
    own = {key: value for key, value in arguments.items() if key not in hidden}
    return {**own, **dict.fromkeys(asked, user)}


async def with_links(
    arguments: Mapping[str, Any], context: ExecutionContext, links: FileLinks
) -> dict[str, Any]:
    """Signed addresses in place of the names of the thread's files."""

    async def address(value: Any) -> Any:
        key = context.files.get(value) if isinstance(value, str) else None
        return value if key is None else await links.link(key, principal=context.principal)

    given = dict(arguments)
    for name in FILE_PARAMETERS:
        value = given.get(name)
        if isinstance(value, list):
            given[name] = [await address(item) for item in value]
        elif value is not None:
            given[name] = await address(value)
    return given
