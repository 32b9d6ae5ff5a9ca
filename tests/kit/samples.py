"""Of odd requests `make test` sends some: the same each time, and some of each row and column of a table.

With `WHOLE_SAMPLES` in the environment all of them are sent, as `make campaign` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TypeVar

Row = TypeVar("Row")
Column = TypeVar("Column")
WHOLE = "WHOLE_SAMPLES"


def tries(whole: int, *, here: int) -> range:
    """How often something is made by chance and sent."""
    return range(whole if os.environ.get(WHOLE) else here)


def pairs(rows: Sequence[Row], columns: Sequence[Column], *, here: int) -> Iterator[tuple[Row, Column]]:
    """Each row with `here` of the columns; the next goes on where this one ended: none is left out.

    Raises:
        ValueError: There are so few rows that a column would never be sent.
    """
    each = len(columns) if os.environ.get(WHOLE) else min(here, len(columns))
    if each * len(rows) < len(columns):
        raise ValueError(f"{len(rows)} rows with {each} each leave out some of {len(columns)} columns")
    for number, row in enumerate(rows):
        for step in range(each):
            yield row, columns[(number * each + step) % len(columns)]
