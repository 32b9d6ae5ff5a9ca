"""Coverage without a tracer: our modules are compiled with a probe before each statement and in each branch.

`pytest -ptests.kit.probes` measures; `python -m tests.kit.probes` compiles ahead, on every core.

A tracer follows the libraries as well, line by line and without the interpreter's own caches (Python 3.11
has no other way), and takes as much again as the tests. A probe is one call into C, `set.add`, where the
code is ours. What is written is Coverage's own data, with its own idea of a file's branches: its reports and
floors are as ever.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import marshal
import os
import pkgutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from importlib.machinery import SourceFileLoader
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import Any

import coverage
import pytest
from coverage import CoverageData
from coverage.parser import PythonParser

# Where tests are started: its settings for Coverage say what is measured.
ROOT = Path.cwd()
_CACHE = ROOT / ".pytest_cache" / "probes"
_GIVEN = coverage.Coverage(data_file=None).config
_OURS = tuple(f"{ROOT / name}{os.sep}" for name in _GIVEN.source or ())
# Files are told apart by what they say, what compiles them and how Coverage sees them.
_KIND = (Path(__file__).read_bytes(), coverage.__version__.encode())
_HIT, _PROBED = "__hit__", "__probed__"
# An arc is one number, as a line is: sets of those are the quickest.
_ARC, _EXIT = 1 << 40, 1 << 19
# Migrations run inside Alembic, __main__ would run, and the kit for tests is not measured.
_LEFT_OUT = (".migrations", ".__main__", "waystation.testing")
_BRANCHING = (ast.If, ast.For, ast.AsyncFor, ast.While)
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

seen: defaultdict[str, set[int]] = defaultdict(set)


def is_ours(path: str) -> bool:
    """True for a file whose coverage is measured."""
    return path.startswith(_OURS) and not any(fnmatch(path, str(ROOT / left)) for left in _GIVEN.run_omit)


def compiled(source: bytes, path: str) -> CodeType:
    """The code of a file of ours, with its probes."""
    tree = ast.parse(source, path)  # first: it tells what is wrong with a file as an import would
    parser = PythonParser(text=source.decode(), filename=path)
    parser.parse_source()
    exits: defaultdict[int, set[int]] = defaultdict(set)
    for line, to in parser.arcs():
        exits[line].add(to)
    _Probes(exits).of_module(tree, path)
    code: CodeType = compile(tree, path, "exec", dont_inherit=True)
    return code


class _Probes:
    """Puts them into a tree. `exits` are the lines that may come behind a line; below zero is the end."""

    def __init__(self, exits: dict[int, set[int]]) -> None:
        self._exits = exits

    def of_module(self, tree: ast.Module, path: str) -> None:
        self._inside(tree)
        future = [(n, node) for n, node in enumerate(tree.body, 1) if _is_future(node)]
        at = max([*(n for n, _ in future), _docstring(tree)])
        # Nothing may stand before these but a docstring: they are noted behind.
        noted = [_probe(_lines(node), node) for _, node in future]
        tree.body[at:at] = [*ast.parse(f"{_HIT} = {_PROBED}({path!r})").body, *noted]

    def _inside(self, node: ast.AST) -> None:
        """Below a node: every list of statements, to any depth."""
        if isinstance(node, ast.Match):
            self._mark_cases(node)
        for child in ast.iter_child_nodes(node):
            self._inside(child)
        kept = _docstring(node) if isinstance(node, _WITH_DOCSTRING) else 0
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                setattr(node, name, [*body[:kept], *self._with_lines(body[kept:])])
                kept = 0
        if isinstance(node, _BRANCHING):
            self._mark_branches(node)
        elif isinstance(node, ast.Try | ast.TryStar):
            self._mark_handlers(node)

    def _with_lines(self, body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            if not (_is_future(node) or hasattr(node, "is_probe")):
                yield _probe(_lines(node), node)
            yield node

    def _mark_branches(self, node: ast.If | ast.For | ast.AsyncFor | ast.While) -> None:
        inside = _first(node.body)
        others = self._exits[node.lineno] - {inside}
        if len(others) != 1:  # `while True` has no way but one
            return
        node.body.insert(0, _probe([_arc(node.lineno, inside)], node))
        node.orelse.insert(0, _probe([_arc(node.lineno, *others)], node))

    def _mark_cases(self, node: ast.Match) -> None:
        lines = [case.pattern.lineno for case in node.cases]
        passed = [_arc(*pair) for pair in pairwise(lines)]
        insides = [_first(case.body) for case in node.cases]
        for n, (case, line, inside) in enumerate(zip(node.cases, lines, insides, strict=True)):
            case.body.insert(0, _probe([*lines[: n + 1], *passed[:n], _arc(line, inside)], node))
        others = self._exits[lines[-1]] - {insides[-1]}
        if len(others) == 1:
            none = _probe([*lines, *passed, _arc(lines[-1], *others)], node)
            node.cases.append(ast.match_case(ast.MatchAs(), None, [none]))
            ast.copy_location(node.cases[-1].pattern, node)

    def _mark_handlers(self, node: ast.Try | ast.TryStar) -> None:
        lines: list[int] = []
        for handler in node.handlers:
            lines.append(handler.lineno)
            handler.body.insert(0, _probe(lines, node))


def _probe(numbers: Iterable[int], at: ast.AST) -> ast.stmt:
    """A statement that notes the numbers, at the place of another."""
    calls: list[ast.expr] = [
        ast.Call(ast.Name(_HIT, ast.Load()), [ast.Constant(number)], []) for number in numbers
    ]
    made = ast.Expr(calls[0] if len(calls) == 1 else ast.Tuple(calls, ast.Load()))
    for node in ast.walk(made):
        ast.copy_location(node, at)
    vars(made)["is_probe"] = True
    return made


def _lines(node: ast.stmt) -> list[int]:
    return [*(decorator.lineno for decorator in getattr(node, "decorator_list", ())), node.lineno]


def _first(body: list[ast.stmt]) -> int:
    """The line that a list of statements begins with, as the interpreter tells it."""
    return next(_lines(node)[0] for node in body if not hasattr(node, "is_probe"))


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return int(ast.get_docstring(node, clean=False) is not None)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _arc(line: int, to: int) -> int:
    return _ARC + (line << 20) + to + _EXIT


def pair_of(number: int) -> tuple[int, int]:
    """What a probe noted, as Coverage has it: from line to line; a line alone is one to itself."""
    if number < _ARC:
        return number, number
    line, to = divmod(number - _ARC, 1 << 20)
    return line, to - _EXIT


def _code(source: bytes, path: str) -> CodeType:
    """`compiled`, made once for all processes and runs."""
    name = hashlib.sha256(b"\0".join((source, path.encode(), *_KIND))).hexdigest()
    cached = _CACHE / name
    try:
        found: CodeType = marshal.loads(cached.read_bytes())  # noqa: S302 - what is written below
    except (OSError, ValueError, EOFError, TypeError):
        found = compiled(source, path)
        _CACHE.mkdir(parents=True, exist_ok=True)
        new = cached.with_suffix(f".{os.getpid()}")
        new.write_bytes(marshal.dumps(found))
        new.replace(cached)
    return found


def install() -> None:
    """From here on, what is imported of ours has its probes, whoever imports it."""
    vars(builtins)[_PROBED] = lambda path: seen[path].add
    get_code: Callable[[Any, str], CodeType | None] = SourceFileLoader.get_code

    def probed(self: SourceFileLoader, name: str) -> CodeType | None:
        if not is_ours(self.path):
            return get_code(self, name)
        return _code(Path(self.path).read_bytes(), self.path)

    SourceFileLoader.get_code = probed  # type: ignore[method-assign, assignment]


def every_file() -> list[str]:
    """Whatever is measured, imported or not."""
    return [str(path) for top in _OURS for path in Path(top).rglob("*.py") if is_ours(str(path))]


def write(into: str) -> None:
    """All that was noted in this process, beside what others write."""
    data = CoverageData(basename=str(ROOT / ".coverage"), suffix=into)
    data.add_arcs({path: [pair_of(number) for number in numbers] for path, numbers in seen.items()})
    data.touch_files(every_file())
    data.write()


def _worker(config: pytest.Config) -> str | None:
    """The name of this process where it runs tests; None in one that only tells others to."""
    worker: str | None = getattr(config, "workerinput", {}).get("workerid")
    return worker or (None if config.getoption("numprocesses", None) else "alone")


def pytest_collection(session: pytest.Session) -> None:
    """Import all of ours, in one of the processes: what is defined in a file counts, whoever uses it."""
    if _worker(session.config) not in ("alone", "gw0"):
        return
    for package in map(importlib.import_module, _GIVEN.source or ()):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in found.name for part in _LEFT_OUT):
                importlib.import_module(found.name)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests ran: in each worker, or in the one process.

    Who has said that it is done has ten seconds to end, and is killed with what it has not written.
    """
    if worker := _worker(session.config):
        write(f"{worker}-{os.getpid()}")


def main() -> None:
    """Compile what has changed, so that three workers do not each."""
    with ProcessPoolExecutor() as pool:
        list(pool.map(_ahead, every_file(), chunksize=16))


def _ahead(path: str) -> None:
    _code(Path(path).read_bytes(), path)


if __name__ == "__main__":
    main()
else:
    install()
