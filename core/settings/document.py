"""Read YAML and JSON with the line of every key, so that an error can point at it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from core.settings.problems import ConfigErrors, ConfigProblem, KeyPath, printable
from core.settings.tree import MAX_DEPTH, Fault, checked, read_tree

MAX_BYTES = 1_048_576
_YAML = (".yaml", ".yml")
# Editors write comments and a last comma into JSON. A text without end is taken to the end, so that no
# part of a file is looked at twice.
_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_LAST_COMMA = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|(?<!,),(?=\s*[}\]])', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its data, and the line of each key path that stands in it."""

    file: str
    path: Path | None
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, key: Sequence[str | int]) -> int | None:
        """Line of the deepest part of `key` that stands in the file.

        A leading wrapper that a model adds to a flat file is skipped.
        """
        for start in (tuple(key), tuple(key[1:])):
            for length in range(len(start), 0, -1):
                if start[:length] in self.lines:
                    return self.lines[start[:length]]
        return None

    def place(self, key: Sequence[str | int]) -> tuple[str, int | None]:
        """File name and line, for a problem at `key`."""
        return self.file, self.line(key)

    def written(self, key: Sequence[str | int]) -> Any:
        """What stands at `key`, variables not yet replaced; None when nothing does."""
        return at(self.data, key)


def at(data: Any, key: Sequence[str | int]) -> Any:
    """The value at a key path of nested mappings and lists, or None."""
    for part in key:
        if not has(data, part):
            return None
        data = data[part]
    return data


def has(data: Any, part: str | int) -> bool:
    """True when `part` is a key or an index of `data`."""
    if isinstance(data, dict):
        return part in data
    return isinstance(data, (list, tuple)) and isinstance(part, int) and 0 <= part < len(data)


def read_document(path: Path) -> Document:
    """Parse a .yaml, .yml or JSON file whose top level is a mapping; an empty file is an empty one.

    JSON may have comments and a comma behind the last entry.

    Raises:
        ConfigErrors: It cannot be read, is not UTF-8, has a syntax error or another top level.
    """
    try:
        text = _text(path)
        data, lines = read_tree(text) if path.suffix.lower() in _YAML else _json(text)
        return Document(path.name, path, _mapping(data), lines)
    except Fault as fault:
        raise ConfigErrors([ConfigProblem(path.name, fault.message, line=fault.line)]) from fault


def _mapping(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        raise Fault(f"must be a mapping of keys to values at the top, not {kind}", 1)
    return {key: value for key, value in data.items() if key != "$schema"}  # a hint for editors


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # a folder, a pipe that would never answer, a link to nothing
            raise Fault("cannot be read: it is not a file")
        if os.path.getsize(path) > MAX_BYTES:
            raise Fault(f"is larger than {MAX_BYTES} bytes")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Fault("is not UTF-8 text; save it as UTF-8", line) from error
    except OSError as error:
        raise Fault(f"cannot be read: {error.strerror}") from error


def _json(text: str) -> tuple[Any, dict[KeyPath, int]]:
    text = _LAST_COMMA.sub(_blank, _COMMENT.sub(_blank, text))
    if not text.strip():
        return {}, {}
    try:
        data = json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
        checked(data)
    except json.JSONDecodeError as error:
        raise Fault(f"is not valid JSON: {error.msg} at column {error.colno}", error.lineno) from error
    except Fault as fault:
        _lines_of(text, strict=True)  # the same fault, with its line, where YAML can read the text
        raise fault from None
    except RecursionError as error:
        raise Fault(f"is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise Fault("has a number that is too long to read") from error
    return data, _lines_of(text)


def _blank(match: re.Match[str]) -> str:
    """Blanks in place of what is no JSON, lines kept, so that an error still names the right place."""
    found = match[0]
    return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)


def _lines_of(text: str, *, strict: bool = False) -> dict[KeyPath, int]:
    """JSON is nearly YAML, whose parser knows lines; where it is not, errors name the key alone."""
    try:
        return read_tree(text.replace("\t", " "))[1]
    except Fault as fault:
        if strict and "not valid YAML" not in fault.message:
            raise
        return {}


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Fault(f"has the key '{printable(key)}' twice")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise Fault(f"is not valid JSON: {name} is not a JSON number")
