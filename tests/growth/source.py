"""Every regular expression of the source, with the ways it is used, from the syntax tree."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOPS = ("core", "graph", "nodes", "server", "tools")
_DIRECT = frozenset({"match", "fullmatch", "search", "findall", "finditer", "sub", "subn", "split"})
_FROM_THE_START = frozenset({"match", "fullmatch"})
_NAMED = re.compile(r"\bre\b")


@dataclass(frozen=True)
class Used:
    """A pattern at a place; `pattern` is None where it is made while running."""

    module: str
    name: str
    pattern: re.Pattern[Any] | None
    ways: frozenset[str]

    @property
    def place(self) -> str:
        return f"{self.module}:{self.name}"

    def run(self, text: Any) -> None:
        """What the code does with it, to the end of the text."""
        assert self.pattern is not None
        for way in self.ways:
            if way in _FROM_THE_START:
                getattr(self.pattern, way)(text)
            else:
                for _ in self.pattern.finditer(text):
                    pass


def every_regex() -> Iterator[Used]:
    """All there are, by module."""
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            # The tree of every file takes seconds; where the word is missing, the module is.
            if not _NAMED.search(text):
                continue
            tree = ast.parse(text)
            if any(is_re(node) for node in ast.walk(tree)):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield from _of_module(module, tree)


def _of_module(module: str, tree: ast.Module) -> Iterator[Used]:
    names = importlib.import_module(module).__dict__
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not is_re(node):
            continue
        assert isinstance(node, ast.Call)
        way = node.func.attr  # type: ignore[attr-defined]  # is_re has looked
        name, ways = _where(node, parents), frozenset({way})
        if way == "compile":
            ways = frozenset(_ways(tree, name)) or frozenset({"search"})
        made = of_hand(node, parents)
        yield Used(module, name, None if made else _value(node, names), ways)


def is_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in {*_DIRECT, "compile"}
    )


def _where(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> str:
    """The name that it is given, or the function that it stands in."""
    above = parents[node]
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        return above.targets[0].id
    while not isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        above = parents[above]
    return "" if isinstance(above, ast.Module) else above.name


def of_hand(node: ast.Call, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Whether it is made of what a function has in hand, be it under a name that the module has too."""
    read, bound = _names(node.args[0], ast.Load), _names(node.args[0], ast.Store)
    above: ast.AST = node
    while above in parents:
        above = parents[above]
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            given = {found.arg for found in ast.walk(above.args) if isinstance(found, ast.arg)}
            if (read - bound) & (given | _names(above, ast.Store)):
                return True
    return False


def _names(node: ast.AST, use: type[ast.expr_context]) -> set[str]:
    names = [found for found in ast.walk(node) if isinstance(found, ast.Name)]
    return {name.id for name in names if isinstance(name.ctx, use)}


def _ways(tree: ast.Module, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            yield node.attr


def _value(node: ast.Call, names: Mapping[str, Any]) -> re.Pattern[Any] | None:
    flags = [*node.args[1:], *(word.value for word in node.keywords if word.arg == "flags")]
    try:
        pattern = eval(compile(ast.Expression(node.args[0]), "", "eval"), dict(names))  # noqa: S307 - our source
    except NameError:
        return None  # of what a function has in hand
    if isinstance(pattern, re.Pattern):
        return pattern
    return re.compile(pattern, _flags(flags))


def _flags(given: list[ast.expr]) -> int:
    found = 0
    for one in given:
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "re":
            found |= getattr(re, one.attr)
    return found
