"""Read YAML and JSON with the line of every key, so that an error can point at it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from core.settings.problems import ConfigErrors, ConfigProblem

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its data, and the line of each key path that stands in it."""

    file: str
    path: Path | None
    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)

    def line(self, key: Sequence[str | int]) -> int | None:
        """Line of the deepest part of `key` that stands in the file.

        A leading wrapper that a model adds to a flat file is skipped.
        """
        for candidate in (tuple(key), tuple(key[1:])):
            while candidate:
                if candidate in self.lines:
                    return self.lines[candidate]
                candidate = candidate[:-1]
        return None


def read_document(path: Path) -> Document:
    """Parse a .json, .yaml or .yml file.

    Raises:
        ConfigErrors: It cannot be read, is not UTF-8, or has a syntax error.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigErrors([ConfigProblem(path.name, f"cannot be read: {reason}")]) from error
    if path.suffix == ".json":
        return _json(path, text)
    return _yaml(path, text)


def _json(path: Path, text: str) -> Document:
    try:
        data = json.loads(text or "{}", object_pairs_hook=_no_doubles)
    except json.JSONDecodeError as error:
        problem = ConfigProblem(
            path.name, f"is not valid JSON: {error.msg} at column {error.colno}", line=error.lineno
        )
        raise ConfigErrors([problem]) from error
    except _DoubleKey as error:
        raise ConfigErrors([ConfigProblem(path.name, f"has the key '{error}' twice")]) from error
    try:
        lines = _lines(yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        lines = {}  # JSON that YAML cannot read: errors name the key without a line
    return Document(path.name, path, data, lines)


def _yaml(path: Path, text: str) -> Document:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = _lines(node)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problem = ConfigProblem(path.name, f"is not valid YAML: {error.problem}", line=line)
        raise ConfigErrors([problem]) from error
    except yaml.YAMLError as error:
        raise ConfigErrors([ConfigProblem(path.name, f"is not valid YAML: {error}")]) from error
    return Document(path.name, path, data if data is not None else {}, lines)


class _DoubleKey(ValueError):
    pass


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DoubleKey(key)
        found[key] = value
    return found


def _lines(node: yaml.Node | None, prefix: Path_ = ()) -> dict[Path_, int]:
    if isinstance(node, yaml.MappingNode):
        found: dict[Path_, int] = {}
        for key, value in node.value:
            here = (*prefix, str(key.value))
            if here in found:
                mark = key.start_mark
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' stands twice", problem_mark=mark)
            found[here] = key.start_mark.line + 1
            found |= _lines(value, here)
        return found
    if isinstance(node, yaml.SequenceNode):
        found = {}
        for index, value in enumerate(node.value):
            found[(*prefix, index)] = value.start_mark.line + 1
            found |= _lines(value, (*prefix, index))
        return found
    return {}
