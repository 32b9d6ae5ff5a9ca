"""Rows of a table as sentences that carry the names of their columns.

A row that stands apart from its head says nothing; "invoice: INV-20015; amount: 99.50" does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = r"[^\n:;]{1,80}: "
_ROW = re.compile(rf"\s*{_NAME}[^\n]*?; {_NAME}")


def row_sentence(names: Sequence[str], values: Sequence[str]) -> str:
    """One line with each value behind its column's name; empty cells are left out."""
    cells = ((name, " ".join(value.split())) for name, value in zip(names, values, strict=False))
    return "; ".join(f"{name}: {value}" for name, value in cells if value)


def is_row(line: str) -> bool:
    """True for a line as `row_sentence` writes one of several cells: that is one sentence."""
    return _ROW.match(line) is not None
