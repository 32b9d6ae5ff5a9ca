"""From the arguments that a model wrote to those that a server gets."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import orjson
from jsonschema import ValidationError  # type: ignore[import-untyped]  # ships no types
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]  # ships no types
from jsonschema.validators import extend, validator_for  # type: ignore[import-untyped]  # ships no types
from pydantic import StringConstraints, TypeAdapter
from pydantic import ValidationError as NotMatched
from pydantic_core import SchemaError
from referencing import Registry

from nodes.mcp_tools.models import ExecutionContext
from nodes.mcp_tools.ports import FileLinks
from nodes.mcp_tools.settings import FILLED_IN

MALFORMED = "__malformed__"  # under this key the llm module hands on text that is no JSON object
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|file:", re.IGNORECASE)
FILE_PARAMETERS = ("filename", "file_names")
_NO_REMOTE: Registry[Any] = Registry()  # a `$ref` to elsewhere is never fetched
Errors = Iterator[ValidationError]
_BY_PATTERN = ("patternProperties", "additionalProperties", "unevaluatedProperties")
# Below these stand schemas by names of somebody's choice, which are no keywords.
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})


def problem_with(
    arguments: Mapping[str, Any], schema: Mapping[str, Any], *, hidden: Sequence[str] = FILLED_IN
) -> str:
    """What is wrong with the arguments, in words for the model; empty when nothing is."""
    if MALFORMED in arguments:
        return (
            f"the arguments are not a JSON object: {_short(arguments[MALFORMED])}. "
            f"Call the tool again with a JSON object. {_expected(schema, hidden)}"
        )
    place, why = mismatch(arguments, schema, validator_for_it=_kept_validator)
    if not why:
        return ""
    return f"{f'argument {place!r}: ' if place else ''}{why}. {_expected(schema, hidden)}"


def mismatch(
    given: Mapping[str, Any],
    schema: Mapping[str, Any],
    *,
    validator_for_it: Callable[[Mapping[str, Any]], Any] | None = None,
) -> tuple[str, str]:
    """Where and why `given` does not fit a JSON schema of somebody else's; both empty when it fits."""
    try:
        error: ValidationError | None = best_match(
            (validator_for_it or _validator)(schema).iter_errors(dict(given))
        )
    except Exception:  # noqa: BLE001  # a foreign schema may break the validator in any way: its server shall judge
        return "", ""
    if error is None:
        return "", ""
    return ".".join(str(part) for part in error.absolute_path), _short(error.message)


# By identity, with the schema so that its place is not taken: a tool's is read once and stays as it is.
_VALIDATORS: OrderedDict[int, tuple[Mapping[str, Any], Any]] = OrderedDict()
_MOST_VALIDATORS = 512


def _kept_validator(schema: Mapping[str, Any]) -> Any:
    """Made once for a tool: it takes many times as long as to look at a call."""
    known = _VALIDATORS.get(id(schema))
    if known is not None:
        return known[1]
    validator = _validator(schema)
    _VALIDATORS[id(schema)] = schema, validator
    if len(_VALIDATORS) > _MOST_VALIDATORS:
        _VALIDATORS.popitem(last=False)
    return validator


def _validator(schema: Mapping[str, Any]) -> Any:
    return bounded_validator(schema)(without_name_patterns(schema), registry=_NO_REMOTE)


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


def _short(value: object, limit: int = 300) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


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
                return _short(item, 80)
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


def bounded_validator(schema: Mapping[str, Any]) -> type[Any]:
    """The validator that the schema asks for, with our way to look at patterns and at unique items."""
    return _ours(validator_for(schema))


@lru_cache(maxsize=32)
def _ours(validator: type[Any]) -> type[Any]:
    found: type[Any] = extend(validator, {"pattern": _pattern, "uniqueItems": _unique})
    return found


def without_name_patterns(schema: Any) -> Any:
    """The schema without what judges properties by patterns of their names."""
    if isinstance(schema, list):
        return [without_name_patterns(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    gone = _BY_PATTERN if isinstance(schema.get("patternProperties"), Mapping) else ()
    return {
        key: {name: without_name_patterns(part) for name, part in value.items()}
        if key in _NAMED and isinstance(value, Mapping)
        else without_name_patterns(value)
        for key, value in schema.items()
        if key not in gone
    }


def _pattern(_validator: Any, pattern: Any, text: Any, _schema: Any) -> Errors:
    if isinstance(text, str) and isinstance(pattern, str) and not _matches(pattern, text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


def _matches(pattern: str, text: str) -> bool:
    known = _engine(pattern)
    if known is None:
        return True
    try:
        known.validate_python(text)
    except NotMatched:
        return False
    return True


@lru_cache(maxsize=512)
def _engine(pattern: str) -> TypeAdapter[str] | None:
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except SchemaError:
        return None


def _unique(_validator: Any, wanted: Any, items: Any, _schema: Any) -> Errors:
    if wanted is True and isinstance(items, list):
        # As text: comparing each with each takes the square of their number.
        written = {orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in items}
        if len(written) < len(items):
            yield ValidationError(f"{items!r} has non-unique elements")
