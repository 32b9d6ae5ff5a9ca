"""JSON schemas of tool servers, judged in a time that does not depend on how they are meant.

A pattern in one is somebody else's regular expression, and Python's engine can
be kept busy by one for longer than anybody waits. So patterns run in an engine
that takes time in proportion to the text (Rust's, which pydantic brings). What
it does not know (looking around, references back) is left for the server to judge,
and so are names of properties told by patterns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any

import orjson
from jsonschema import ValidationError  # type: ignore[import-untyped]  # ships no types
from jsonschema.validators import extend, validator_for  # type: ignore[import-untyped]  # ships no types
from pydantic import StringConstraints, TypeAdapter
from pydantic import ValidationError as NotMatched
from pydantic_core import SchemaError

Errors = Iterator[ValidationError]

_BY_PATTERN = ("patternProperties", "additionalProperties", "unevaluatedProperties")
# Below these stand schemas by names of somebody's choice, which are no keywords.
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})


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
