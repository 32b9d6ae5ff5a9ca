"""Tables whose cells reach over several columns or rows: each value under all of its names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# A table that says more was made to harm.
MOST_ACROSS, MOST_DOWN = 200, 2000


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that reaches over `across` columns and `down` rows."""

    text: str
    across: int = 1
    down: int = 1


class Grid:
    """Puts rows in their columns: a cell from above that reaches down stands in each row that it reaches."""

    def __init__(self) -> None:
        self._above: dict[int, Cell] = {}

    def row(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells of the next row, those from above among them."""
        found: list[Cell] = []
        below: dict[int, Cell] = {}
        column = 0
        given = iter(cells)
        while True:
            cell = self._above.pop(column, None) or next(given, None)
            if cell is None:
                if not self._above:
                    break
                # A row that ends early, with more from above behind its end.
                cell = Cell("", min(self._above) - column)
            across, down = min(max(cell.across, 1), MOST_ACROSS), min(max(cell.down, 1), MOST_DOWN)
            if down > 1:
                below[column] = replace(cell, across=across, down=down - 1)
            found.append(Cell(cell.text, across))
            column += across
            for passed in [place for place in self._above if place < column]:
                del self._above[passed]
        self._above = below
        return found


def width(row: Sequence[Cell]) -> int:
    """How many columns a row has."""
    return sum(cell.across for cell in row)


def names_of_columns(row: Sequence[Cell]) -> list[str]:
    """A name for each column under a row of heads."""
    return [cell.text for cell in row for _ in range(cell.across)]


def under(names: Sequence[str], row: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """(names, values) of a row; the names of all columns that a cell reaches over stand together."""
    heads, at = [], 0
    for cell in row:
        own = [name for name in dict.fromkeys(names[at : at + cell.across]) if name]
        heads.append(", ".join(own) or f"column {at + 1}")
        at += cell.across
    return heads, [cell.text for cell in row]
