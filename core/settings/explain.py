"""Turn a pydantic error into problems that name file, line, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.settings.document import has
from core.settings.problems import HIDDEN, ConfigProblem, KeyPath, dotted, masked, nearest, printable
from core.settings.shape import described, is_declared, is_secret, known_keys

_SENTENCES = {
    "missing": "a required key is missing",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "string_type": "must be text",
    "string_unicode": "must be valid Unicode text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a shorter number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
}
_SUBJECT = re.compile(r"^(Input|String|List|Dictionary|Value|URL|Number) should ")
_QUOTED = re.compile(r"'([^']*)'")
_NO_VALUE = {"missing", "union_tag_not_found", "union_tag_invalid"}


class Validated(Protocol):
    """What was validated, and where it came from."""

    def place(self, key: Sequence[str | int]) -> tuple[str, int | None]:
        """The file (or variable) and line of a key."""

    def written(self, key: Sequence[str | int]) -> Any:
        """The value as a person wrote it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One validation: the model, the data it was given, and the section the data stands under."""

    model: type[BaseModel]
    data: Any
    ground: Validated
    prefix: KeyPath = ()


def explain(error: ValidationError, subject: Subject) -> list[ConfigProblem]:
    """One problem per finding of `error`, in file order; the members of a union are told as one."""
    found: dict[tuple[str, int | None, str], ConfigProblem] = {}
    for item in error.errors(include_url=False):
        problem = _problem(item, subject)
        spot = (problem.file, problem.line, problem.key)
        found[spot] = _joined(found[spot], problem) if spot in found else problem
    keys = {p.key for p in found.values()}
    deepest = [p for p in found.values() if not any(k.startswith(p.key + ".") for k in keys if p.key)]
    return sorted(deepest, key=lambda p: (p.file, p.line or 0, p.key))


def _joined(first: ConfigProblem, second: ConfigProblem) -> ConfigProblem:
    if second.message in first.message:
        return first
    return replace(first, message=f"{first.message} or {second.message.removeprefix('must be ')}")


def _problem(item: ErrorDetails, subject: Subject) -> ConfigProblem:
    path, shown = _paths(item, subject)
    file, line = subject.ground.place((*subject.prefix, *path))
    key = dotted((*subject.prefix, *shown))
    if item["type"] == "extra_forbidden":
        return ConfigProblem(file, "unknown key", key, line, None, _suggestion(subject, item["loc"]))
    message, remedy = _sentence(item)
    if item["type"] == "string_pattern_mismatch":
        # Few read patterns: what the key is for says what it wants.
        remedy = described(subject.model, item["loc"]).rstrip(".")
    value = None if item["type"] in _NO_VALUE else _value(item, subject, path, shown)
    return ConfigProblem(file, message, key, line, value, remedy)


def _paths(item: ErrorDetails, subject: Subject) -> tuple[KeyPath, KeyPath]:
    """Where the finding stands in the data, and the key that people read.

    pydantic's location also holds the names of union members, discriminator
    tags and wrappers that a validator put around a flat file. None of them is
    in the data, and where the next part is, nobody wrote them.
    """
    path: list[str | int] = []
    shown: list[str | int] = []
    data, lost = subject.data, False
    loc = item["loc"]
    for index, part in enumerate(loc):
        if not lost and has(data, part):
            data = data[part]
            path.append(part)
            shown.append(part)
            continue
        following = loc[index + 1] if index + 1 < len(loc) else None
        wrapper = not lost and following is not None and has(data, following)
        last = following is None and item["type"] in ("missing", "extra_forbidden")
        if not wrapper and (last or is_declared(subject.model, loc[: index + 1])):
            shown.append(part)
            lost = True
    if item["type"] == "union_tag_invalid":
        path.append(item["ctx"]["discriminator"].strip("'"))
    return tuple(path), tuple(shown)


def _sentence(item: ErrorDetails) -> tuple[str, str]:
    """What is wrong, and what to do."""
    context = item.get("ctx", {})
    if item["type"] == "union_tag_invalid":
        known = _QUOTED.findall(str(context["expected_tags"]))
        near = nearest(str(context["tag"]), known)
        sentence = (
            f"{context['discriminator']} must be one of {', '.join(known)}, not '{printable(context['tag'])}'"
        )
        return sentence, f"did you mean '{near}'?" if near else ""
    if item["type"] == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing", ""
    if item["type"] == "dict_type" and isinstance(item["input"], list):
        return _SENTENCES["dict_type"], "give each entry a key of its own: its name"
    message = _SENTENCES.get(item["type"]) or _SUBJECT.sub("must ", _bare(item["msg"]))
    if item["type"] in ("literal_error", "enum"):
        near = nearest(str(item["input"]), _QUOTED.findall(str(context.get("expected", ""))))
        return message, f"did you mean '{near}'?" if near else ""
    return message, ""


def _bare(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _value(item: ErrorDetails, subject: Subject, path: KeyPath, shown: KeyPath) -> str | None:
    if item["type"] in ("value_error", "assertion_error") and isinstance(item["input"], (dict, BaseModel)):
        return None  # a rule over several keys; its sentence names them
    if is_secret(subject.model, shown) or is_secret(subject.model, item["loc"]):
        return HIDDEN
    written = subject.ground.written((*subject.prefix, *path))
    # What a variable held may be secret whatever the key is called; its name is not.
    value = written if isinstance(written, str) and "${" in written else item["input"]
    return masked((*subject.prefix, *shown), value)


def _suggestion(subject: Subject, loc: Sequence[str | int]) -> str:
    known = known_keys(subject.model, loc[:-1])
    near = nearest(str(loc[-1]), known)
    if near:
        return f"did you mean '{near}'?"
    return f"known keys: {', '.join(sorted(set(known)))}" if known else ""
