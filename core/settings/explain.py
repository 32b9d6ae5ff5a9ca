"""Turn a pydantic error into problems that name file, line, key and remedy."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.settings.document import Document
from core.settings.problems import ConfigProblem, masked, nearest


def explain(
    error: ValidationError,
    model: type[BaseModel],
    document: Document | None,
    environ: Mapping[str, str] | None = None,
) -> list[ConfigProblem]:
    """One problem per finding of `error`, in file order."""
    problems = [_problem(item, model, document, environ or {}) for item in error.errors()]
    return sorted(problems, key=lambda p: (p.file, p.line or 0))


def _problem(
    item: ErrorDetails, model: type[BaseModel], document: Document | None, environ: Mapping[str, str]
) -> ConfigProblem:
    loc = tuple(part for part in item["loc"] if not _is_tag(part))
    key = ".".join(map(str, loc))
    variable = "WAYSTATION_" + "__".join(str(part).upper() for part in loc)
    from_environ = next((name for name in environ if name.upper() == variable), None)
    file = f"environment variable {from_environ}" if from_environ else _file_name(document)
    line = document.line(loc) if document and not from_environ else None
    if item["type"] == "extra_forbidden":
        return ConfigProblem(file, "unknown key", key, line, None, _suggestion(model, loc))
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if item["type"] == "missing":
        return ConfigProblem(file, "a required key is missing", key, line)
    expected = "must be " if item["msg"].startswith("Input should be ") else ""
    return ConfigProblem(file, expected + message, key, line, masked(key, item["input"]))


def _file_name(document: Document | None) -> str:
    return document.file if document else "keyword override"


def _is_tag(part: str | int) -> bool:
    """Union members put their type's name into the location; people did not write it."""
    return isinstance(part, str) and (part.startswith(("function-", "list[", "dict[")) or part in {"str", "int"})


def _suggestion(model: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    known = _fields_at(model, loc[:-1])
    near = nearest(str(loc[-1]), known)
    if near:
        return f"did you mean '{near}'?"
    return f"known keys: {', '.join(sorted(known))}" if known else ""


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    current: Any = model
    for part in loc:
        current = _step(current, part)
        if current is None:
            return []
    found = _models_in(current)
    return [field.alias or name for m in found for name, field in m.model_fields.items()]


def _step(annotation: Any, part: str | int) -> Any:
    for model in _models_in(annotation):
        for name, field in model.model_fields.items():
            if part in (name, field.alias):
                return field.annotation
    args = get_args(_unwrapped(annotation))
    return args[-1] if args else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    annotation = _unwrapped(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for arg in get_args(annotation) for m in _models_in(arg)]
    return []


def _unwrapped(annotation: Any) -> Any:
    """Without `| None` and `Annotated`."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
            continue
        options = [a for a in get_args(annotation) if a is not type(None)]
        if get_origin(annotation) in (Union, types.UnionType) and len(options) == 1:
            annotation = options[0]
            continue
        return annotation
