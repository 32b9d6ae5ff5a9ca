"""Probes find what Coverage's tracer finds, and what they measure runs as it would without them."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage, CoverageData

from tests.kit import probes

EVERYTHING = '''"""A docstring."""

from __future__ import annotations

import asyncio
import contextlib


class Shape:
    """One."""

    sides: int = 4

    def name(self, *, loud=False):
        """A docstring."""
        if loud:
            return "SHAPE"
        return "shape"

    @property
    @contextlib.contextmanager
    def opened(self):
        try:
            yield self
        finally:
            self.sides = 0


def kind(n):
    if n < 0:
        found = "below"
    elif n == 0:
        found = "none"
    elif n == 1:
        found = "one"
    else:
        found = "many"
    if n > 100:
        found += ", very"
    return found


def sought(items, wanted):
    for item in items:
        if item is None:
            continue
        if item == wanted:
            break
    else:
        return "missing"
    for _ in ():
        pass
    return "found"


def counted(most):
    n = 0
    while True:
        n += 1
        if n > most:
            break
    while n:
        n -= 1
    return n


def matched(given):
    match given:
        case 1 | 2:
            return "few"
        case {"a": found} if found:
            return found
        case [*_]:
            found = "list"
    match given:
        case str():
            found = "text"
        case _:
            found = "other"
    return found


def tried(call):
    try:
        call()
    except (KeyError, ValueError):
        return "known"
    except OSError as error:
        return str(error)
    else:
        return "well"
    finally:
        kind(
            1,
        )


async def heard(count):
    async def each():
        for n in range(count):
            yield n

    heard = [n for n in range(3) if n]
    async for n in each():
        if n == 2:
            heard.append(n)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(kind, 0)
        if count > 5:
            return heard
    return heard


def never():
    return (
        kind(1)
        or kind(2)
    )


def failing(n):
    kind(n)
    raise ValueError(
        "as told"
    )
'''


def few(shown: dict[str, Any]) -> None:
    shown["kind"](0)
    shown["kind"](101)
    shown["sought"]([None, 1], 1)
    shown["counted"](2)
    shown["matched"]([])
    shown["tried"](lambda: None)
    asyncio.run(shown["heard"](0))


def more(shown: dict[str, Any]) -> None:
    few(shown)
    for n in (-1, 1, 2):
        shown["kind"](n)
    shown["sought"]([], 1)
    for given in (1, {"a": 1}, {"a": 0}, "x", 9):
        shown["matched"](given)
    shown["tried"](lambda: dict[str, int]()["x"])
    asyncio.run(shown["heard"](7))
    shape = shown["Shape"]()
    with shape.opened:
        shape.name(loud=True)


def nothing(_: dict[str, Any]) -> None:
    """Only what the module itself runs."""


def told(data: CoverageData, path: Path) -> tuple[Any, ...]:
    """What Coverage reports of the file: lines it counts, those that are missing, and missing branches."""
    coverage = Coverage(data_file=None, branch=True, config_file=False)
    coverage.get_data().update(data)
    analysis = coverage._analyze(str(path))
    missing = {line: set(to) for line, to in analysis.missing_branch_arcs().items()}
    return analysis.statements, analysis.missing, missing


def traced(path: Path, use: Callable[[dict[str, Any]], None]) -> CoverageData:
    coverage = Coverage(data_file=None, branch=True, config_file=False, include=[str(path)])
    with coverage.collect():
        use(ran(compile(path.read_bytes(), path, "exec")))
    return coverage.get_data()


def probed(path: Path, use: Callable[[dict[str, Any]], None]) -> CoverageData:
    noted: set[int] = set()
    use(ran(probes.compiled(path.read_bytes(), str(path)), __probed__=lambda _: noted.add))
    data = CoverageData(no_disk=True)
    data.add_arcs({str(path): [probes.pair_of(number) for number in noted]})
    return data


def ran(code: Any, **names: Any) -> dict[str, Any]:
    shown = {"__name__": "shown", **names}
    exec(code, shown)  # noqa: S102 - the text above
    return shown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "everything.py"
    path.write_text(EVERYTHING)
    return path


@pytest.mark.parametrize("use", [nothing, few, more])
def test_they_find_what_a_tracer_finds(path: Path, use: Callable[[dict[str, Any]], None]) -> None:
    assert told(probed(path, use), path) == told(traced(path, use), path)


def test_what_is_measured_keeps_its_docstrings_and_its_lines(path: Path) -> None:
    shown = ran(probes.compiled(path.read_bytes(), str(path)), __probed__=lambda _: set().add)
    assert (shown["__doc__"], shown["Shape"].__doc__) == ("A docstring.", "One.")
    assert shown["Shape"].name.__doc__ == "A docstring."
    assert shown["Shape"].__annotations__ == {"sides": "int"}
    with pytest.raises(ValueError, match="as told") as failed:
        shown["failing"](1)
    line = EVERYTHING.splitlines().index("    raise ValueError(") + 1
    assert traceback.extract_tb(failed.value.__traceback__)[-1].lineno == line


def test_ours_is_what_the_settings_say() -> None:
    root = probes.ROOT
    assert probes.is_ours(str(root / "core/errors.py"))
    assert not probes.is_ours(str(root / "waystation/testing/service.py"))
    assert not probes.is_ours(str(root / "tests/conftest.py"))
