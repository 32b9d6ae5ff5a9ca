"""YAML nodes become data and, beside it, the line of every key.

Bounded on purpose: a file of anchors that multiply, or of a thousand brackets,
is an error with a line and not a process out of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from core.settings.problems import KeyPath, printable

MAX_DEPTH = 64
MAX_VALUES = 50_000

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str"))
_MERGE = _TAG + "merge"


class Fault(Exception):
    """A file cannot become data; `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Loader(yaml.SafeLoader):
    """Plain YAML: a date stays text, and `=` is nothing special.

    Depth is checked while scanning: the scanner's time grows with its square.
    """

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803 - the name of the scanner
        self._not_too_deep(self.flow_level)
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        self._not_too_deep(len(self.indents))
        return bool(super().add_indent(column))

    def _not_too_deep(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Fault(f"is nested deeper than {MAX_DEPTH} levels", int(self.line) + 1)


Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in found if tag in _SCALARS or tag == _MERGE]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_tree(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """Parse one YAML document.

    Returns:
        The data (None for an empty document), and the line of each key path.

    Raises:
        Fault: Syntax, a key twice, a tag, too deep or too much.
    """
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        walk = _Walk(loader)
        return (None if node is None else walk.value(node, ())), walk.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Fault(_syntax(error), mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise Fault(f"has the character U+{code:04X}, which YAML forbids", line) from error
    except RecursionError as error:
        raise Fault(f"is nested deeper than {MAX_DEPTH} levels") from error


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "syntax error"
    if "\\t" in problem:
        return "is not valid YAML: a tab stands where spaces must; indent with spaces"
    return f"is not valid YAML: {problem}"


def checked(data: Any, depth: int = 0) -> None:
    """Hold parsed JSON to the same bounds.

    Raises:
        Fault: Too deep, or text that is not Unicode.
    """
    if depth > MAX_DEPTH:
        raise Fault(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(data, str):
        _unicode(data, None)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            _unicode(key, None)
            checked(value, depth + 1)
    elif isinstance(data, list):
        for value in data:
            checked(value, depth + 1)


class _Walk:
    def __init__(self, loader: Loader) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._loader = loader
        self._values = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Fault(f"has more than {MAX_VALUES} values, anchors included", _line(node))
        if len(path) > MAX_DEPTH:
            raise Fault(f"is nested deeper than {MAX_DEPTH} levels", _line(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return self._sequence(node, path)
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node)
        raise Fault(f"has the tag '{printable(node.tag)}'; write a plain value", _line(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for merged in _merged(node):
            data |= self.value(merged, path)
        own: set[str] = set()
        for key, value in node.value:
            if key.tag == _MERGE:
                continue
            name = _name(key)
            if name in own:
                raise Fault(f"has the key '{printable(name)}' twice", _line(key))
            own.add(name)
            self.lines[(*path, name)] = _line(key)
            data[name] = self.value(value, (*path, name))
        return data

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        data = []
        for index, value in enumerate(node.value):
            self.lines[(*path, index)] = _line(value)
            data.append(self.value(value, (*path, index)))
        return data

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        _unicode(node.value, node)
        try:
            return self._loader.construct_object(node)
        except (ValueError, LookupError, OverflowError) as error:
            raise Fault(
                f"has a value that cannot be read as {node.tag.removeprefix(_TAG)}", _line(node)
            ) from error


def _merged(node: yaml.MappingNode) -> list[yaml.Node]:
    """The mappings behind `<<`, the strongest last (in YAML the first one named wins)."""
    found: list[yaml.Node] = []
    for key, value in node.value:
        if key.tag == _MERGE:
            found += value.value if isinstance(value, yaml.SequenceNode) else [value]
    for value in found:
        if not isinstance(value, yaml.MappingNode):
            raise Fault("merges ('<<') something that is not a mapping", _line(value))
    return found[::-1]


def _name(key: yaml.Node) -> str:
    """Keys are text, also where YAML would make `1`, `on` or `null` of them."""
    if not isinstance(key, yaml.ScalarNode):
        raise Fault("has a key that is not plain text", _line(key))
    _unicode(key.value, key)
    return str(key.value)


def _unicode(text: str, node: yaml.Node | None) -> None:
    if not is_unicode(text):
        raise Fault("has half a surrogate pair in a text", _line(node) if node else None)


def is_unicode(text: str) -> bool:
    """False for half surrogate pairs, which JSON escapes and undecodable variables bring."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
