"""Tables whose cells reach over several columns or rows: each value under all of its names."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# A table that says more was made to harm.
MOST_ACROSS, MOST_DOWN = 200, 2000
MOST_REPEATED = 1_000_000
# The name of a column is said in each row.
MOST_OF_A_NAME = 80


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that reaches over `across` columns and `down` rows."""

    text: str
    across: int = 1
    down: int = 1


@dataclass(slots=True)
class Allowance:
    """Letters that may still be said again, in all tables of a document together."""

    letters: int = MOST_REPEATED


class Grid:
    """Puts rows in their columns: a cell from above that reaches down stands in each row that it reaches."""

    def __init__(self, allowance: Allowance | None = None) -> None:
        self._above: dict[int, Cell] = {}
        self._allowance = allowance or Allowance()

    def row(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells of the next row, those from above among them."""
        found: list[Cell] = []
        below: dict[int, Cell] = {}
        column = 0
        given, above = iter(cells), deque(sorted(self._above.items()))
        while True:
            while above and above[0][0] < column:
                above.popleft()
            reached = above and above[0][0] == column
            cell = self._again(above.popleft()[1]) if reached else next(given, None)
            if cell is None:
                if not above:
                    break
                # A row that ends early, with more from above behind its end.
                cell = Cell("", above[0][0] - column)
            across, down = min(max(cell.across, 1), MOST_ACROSS), min(max(cell.down, 1), MOST_DOWN)
            if down > 1:
                below[column] = replace(cell, across=across, down=down - 1)
            found.append(Cell(cell.text, across))
            column += across
        self._above = below if self._allowance.letters > 0 else {}
        return found

    def _again(self, cell: Cell) -> Cell:
        self._allowance.letters -= len(cell.text) + 1
        return cell


def width(row: Sequence[Cell]) -> int:
    """How many columns a row has."""
    return sum(cell.across for cell in row)


def names_of_columns(row: Sequence[Cell]) -> list[str]:
    """A name for each column under a row of heads."""
    return [cell.text[:MOST_OF_A_NAME] for cell in row for _ in range(cell.across)]


def by_column(row: Sequence[Cell]) -> list[str]:
    """What stands in each column of a row."""
    return [cell.text for cell in row for _ in range(cell.across)]


def under(names: Sequence[str], row: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """(names, values) of a row; the names of all columns that a cell reaches over stand together."""
    heads, at = [], 0
    for cell in row:
        own = [name for name in dict.fromkeys(names[at : at + cell.across]) if name]
        heads.append(", ".join(own) or f"column {at + 1}")
        at += cell.across
    return heads, [cell.text for cell in row]
