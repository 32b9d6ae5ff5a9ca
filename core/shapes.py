"""Values held to JSON schemas of somebody else's: a tool's arguments, a person's answer, a model's answer.

A schema may be hostile. Nothing is fetched for a `$ref`, patterns run in an engine that does not
backtrack, and a schema that asks for more steps than `MOST_STEPS` is not gone through to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
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

MOST_STEPS = 100_000
"""Keywords that are looked at for one value: definitions that name each other grow without a bound."""
_NO_REMOTE: Registry[Any] = Registry()  # a `$ref` to elsewhere is never fetched
_LEFT: ContextVar[list[int]] = ContextVar("steps_left")
Errors = Iterator[ValidationError]
_ANY: tuple[Any, ...] = ({}, [], "")
_BY_PATTERN = ("patternProperties", "additionalProperties", "unevaluatedProperties")
# Below these stand schemas by names of somebody's choice, which are no keywords.
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})


class Unjudged(Exception):
    """A schema that nothing can be held to; says why."""


def mismatch(
    given: Any,
    schema: Mapping[str, Any],
    *,
    validator_for_it: Callable[[Mapping[str, Any]], Any] | None = None,
) -> tuple[str, str]:
    """Where and why `given` does not fit a JSON schema; both empty when it fits, or cannot be judged."""
    try:
        return judged(given, schema, validator_for_it=validator_for_it)
    except Unjudged:
        return "", ""  # whose schema it is shall judge


def judged(
    given: Any,
    schema: Mapping[str, Any],
    *,
    validator_for_it: Callable[[Mapping[str, Any]], Any] | None = None,
) -> tuple[str, str]:
    """Where and why `given` does not fit a JSON schema; both empty when it fits.

    Args:
        validator_for_it: Makes the validator; else a fresh one is made.

    Raises:
        Unjudged: The schema cannot be used.
    """
    token = _LEFT.set([MOST_STEPS])
    try:
        error = best_match((validator_for_it or validator_of)(schema).iter_errors(given))
    except Unjudged:
        raise
    except Exception as problem:  # noqa: BLE001  # a foreign schema may break the validator in any way
        raise Unjudged(short(f"{type(problem).__name__}: {problem}".partition("\n")[0])) from None
    finally:
        _LEFT.reset(token)
    if error is None:
        return "", ""
    return ".".join(str(part) for part in error.absolute_path), short(error.message)


def fault_of(schema: Any) -> str:
    """What makes it no JSON schema, in words; "" where it is one, as far as can be said without a value."""
    try:
        kind = bounded_validator(schema)
        token = _LEFT.set([MOST_STEPS])
        try:
            error = best_match(_ours(validator_for(kind.META_SCHEMA))(kind.META_SCHEMA).iter_errors(schema))
        finally:
            _LEFT.reset(token)
        if error is None:
            for value in _ANY:
                judged(value, schema)
    except Unjudged as problem:
        return str(problem)
    except Exception as problem:  # noqa: BLE001  # as above
        return short(f"{type(problem).__name__}: {problem}".partition("\n")[0])
    return "" if error is None else short(error.message)


def validator_of(schema: Mapping[str, Any]) -> Any:
    """A validator of the schema, with our way to look at patterns and at unique items."""
    return bounded_validator(schema)(without_name_patterns(schema), registry=_NO_REMOTE)


def short(value: object, limit: int = 300) -> str:
    """A value in words, cut."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def bounded_validator(schema: Any) -> type[Any]:
    """The validator that the schema asks for, with our way to look at patterns and at unique items."""
    return _ours(validator_for(schema))


@lru_cache(maxsize=32)
def _ours(validator: type[Any]) -> type[Any]:
    own = {**validator.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique}
    found: type[Any] = extend(validator, {name: _counted(run) for name, run in own.items()})
    return found


def _counted(run: Callable[..., Any]) -> Callable[..., Any]:
    """A keyword that can be looked at only so often for one value."""

    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        left = _LEFT.get(None)
        if left is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Unjudged(f"it takes more than {MOST_STEPS} steps to hold a value to it")
        return run(validator, value, instance, schema)

    return counted


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
