"""Figures with what they should be, as a plain table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.load import Slice

Round = dict[str, Slice]
Figure = Callable[[Slice], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Args:
        section: What was measured with it.
        system: Whose it is, where it stands in the table of all systems.
        target: What it should at most be (or at least, with `least`); None where nothing is asked.
    """

    section: str
    what: str
    value: float
    unit: str = "x"
    target: float | None = None
    least: bool = False
    system: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.least else self.value <= self.target

    def line(self) -> str:
        """As it is printed."""
        told = {None: "", True: "met", False: "MISSED"}[self.met]
        target = "" if self.target is None else f"{'>=' if self.least else '<='} {self.target:g}"
        return f"  {self.what:<58}{self.value:>9.2f} {self.unit:<8}{target:>9}  {told}".rstrip()


@dataclass(slots=True)
class Report:
    """All rows of a run, printed as they come."""

    rows: list[Row] = field(default_factory=list)

    def add(self, title: str, rows: Sequence[Row]) -> None:
        print(f"\n{title}")
        for line in (
            *table([row for row in rows if row.system]),
            *(row.line() for row in rows if not row.system),
        ):
            print(line, flush=True)
        self.rows += rows

    def as_json(self) -> list[dict[str, Any]]:
        return [{**asdict(row), "met": row.met} for row in self.rows]


def table(rows: Sequence[Row]) -> list[str]:
    """Figures of systems: a line for each of them, a column for each figure."""
    columns = list(dict.fromkeys(f"{row.what}, {row.unit}" for row in rows))
    lines = [f"  {'':<26}" + "".join(f"{column:>20}" for column in columns)] if rows else []
    for system in dict.fromkeys(row.system for row in rows):
        values = {f"{row.what}, {row.unit}": f"{row.value:.2f}" for row in rows if row.system == system}
        lines.append(f"  {system:<26}" + "".join(f"{values.get(column, ''):>20}" for column in columns))
    return [line.rstrip() for line in lines]


def ratio(
    rounds: Sequence[Round], one: str, other: str, figure: Figure, of_other: Figure | None = None
) -> float:
    """The median of the ratios of each round: what disturbs a round disturbs both."""
    of_other = of_other or figure
    return statistics.median(figure(each[one]) / of_other(each[other]) for each in rounds)


def median(rounds: Sequence[Round], name: str, figure: Figure) -> float:
    """Of the rounds."""
    return statistics.median(figure(each[name]) for each in rounds)


def of_each(section: str, rounds: Sequence[Round]) -> list[Row]:
    """What each system took, as a median of the rounds."""
    found = []
    for name in rounds[0]:
        for what, unit, figure in (
            ("CPU a turn", "ms", Slice.cpu_ms),
            ("first token p50", "ms", Slice.first_ms),
            ("whole turn p50", "ms", Slice.whole_ms),
            ("turns a second", "1/s", Slice.rate),
        ):
            found.append(Row(section, what, median(rounds, name, figure), unit, system=name))
    return found
