"""What a settings model declares at a key path: its known keys, and whether the value is a secret."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, SecretBytes, SecretStr


def known_keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys that may stand below `path`; empty where any may."""
    return [
        field.alias or name
        for found in _declared_at(model, path)
        if _is_model(found)
        for name, field in found.model_fields.items()
    ]


def is_secret(model: type[BaseModel], path: Sequence[str | int]) -> bool:
    """True when the value at `path` is declared as a secret."""
    return any(found in (SecretStr, SecretBytes) for found in _declared_at(model, path))


def is_declared(model: type[BaseModel], path: Sequence[str | int]) -> bool:
    """True when the last part of `path` is a key that some model declares."""
    return bool(path) and path[-1] in known_keys(model, path[:-1])


def described(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What the key that ends `path` is for; "" where nothing is said of it."""
    owners = [found for found in _declared_at(model, path[:-1]) if _is_model(found)] if path else []
    fields = [item for owner in owners for item in owner.model_fields.items()]
    told = (field.description for name, field in fields if path[-1] in (name, field.alias))
    return next(filter(None, told), "")


def takes(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What the value at `path` is built of: "list", "mapping" or "plain"."""
    for found in _declared_at(model, path):
        if _is_model(found) or get_origin(found) is dict or found is dict:
            return "mapping"
        if get_origin(found) in (list, tuple, set, frozenset):
            return "list"
    return "plain"


def _declared_at(model: type[BaseModel], path: Sequence[str | int]) -> list[Any]:
    """Every type that may stand at `path`, unions taken apart."""
    found = list(_options(model))
    for part in path:
        below = [option for current in found for option in _below(current, part)]
        found = below or _tagged(found, part)
    return found


def _below(current: Any, part: str | int) -> Iterator[Any]:
    if _is_model(current):
        for name, field in current.model_fields.items():
            if part in (name, field.alias):
                yield from _options(field.annotation)
        return
    args = [arg for arg in get_args(current) if arg is not Ellipsis]
    if args and isinstance(part, str if get_origin(current) is dict else int):
        yield from _options(args[-1])


def _tagged(found: list[Any], part: str | int) -> list[Any]:
    """pydantic names the union member in its locations: by discriminator, or by type."""
    chosen = [
        option
        for option in found
        if _is_model(option) and (option.__name__ == part or _has_tag(option, part))
    ]
    return chosen or found


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    annotations = [field.annotation for field in model.model_fields.values()]
    return any(get_origin(a) is Literal and tag in get_args(a) for a in annotations)


def _options(annotation: Any) -> Iterator[Any]:
    """The members of a union; `None`, `Annotated` and root models unwrapped."""
    if get_origin(annotation) is Annotated:
        yield from _options(annotation.__origin__)
    elif get_origin(annotation) in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    elif _is_model(annotation) and issubclass(annotation, RootModel):
        yield from _options(annotation.model_fields["root"].annotation)
    elif annotation is not type(None):
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
