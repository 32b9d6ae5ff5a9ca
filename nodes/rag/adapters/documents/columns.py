"""Columns of a PDF's page: which there are, when their lines were drawn across them.

A PDF holds text in the order in which it was drawn. Most programs draw one column
after the other; some draw line by line across the page, and then the columns come out mixed.
A table is drawn across as well, and has to stay so: its cells are short, and no sentence
goes on from one row to the next.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST_COLUMNS = 4
MOST_BOXES = 2000
# In points: a gap between words is smaller, one between columns hardly ever.
_GAP = 9.0
_FEWEST_LINES = 5
_FEWEST_LETTERS = 18
# A line of prose reaches over most of its column, but for the last ones of paragraphs.
_FILLED = 0.6
# So many of its lines go on in the next one, amid a sentence.
_GOES_ON = 0.4
# Of all lines that have a neighbour, so many were drawn right before it.
_ACROSS = 0.5
_END = ".!?:;…。"


@dataclass(frozen=True, slots=True)
class Box:
    """A run of text and where it stands, in points from the lower left."""

    left: float
    bottom: float
    right: float
    top: float
    text: str

    @property
    def middle(self) -> float:
        return (self.bottom + self.top) / 2


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page, to be read by itself."""

    left: float
    bottom: float
    right: float
    top: float


def regions(boxes: Sequence[Box], width: float, height: float) -> list[Region]:
    """The parts of a page in the order in which they are to be read; none where its own order is right.

    Args:
        boxes: In the order in which they were drawn.
    """
    kept = [box for box in boxes if box.text.strip() and box.right > box.left]
    if not 2 * _FEWEST_LINES <= len(kept) <= MOST_BOXES:
        return []
    gutters = _gutters(kept)
    if not gutters or len(gutters) >= MOST_COLUMNS:
        return []
    columns = _columns(kept, gutters)
    if not _drawn_across(kept, gutters) or not all(map(_is_prose, columns)):
        return []
    return list(_cut(kept, gutters, width, height))


def _gutters(boxes: Sequence[Box]) -> list[float]:
    """Where no line of text is, from left to right: the middles of the gaps between columns.

    A heading over all columns stands in the way of any gap, so what is as wide as that does not count.
    """
    first, last = min(box.left for box in boxes), max(box.right for box in boxes)
    narrow = sorted((b.left, b.right) for b in boxes if b.right - b.left < (last - first) * _FILLED)
    found: list[float] = []
    reached = narrow[0][1] if narrow else last
    for left, right in narrow:
        if left - reached >= _GAP:
            found.append((left + reached) / 2)
        reached = max(reached, right)
    return found


def _columns(boxes: Sequence[Box], gutters: Sequence[float]) -> list[list[Box]]:
    """The boxes of each column, without those that reach over a gap."""
    columns: list[list[Box]] = [[] for _ in range(len(gutters) + 1)]
    for box in boxes:
        if not _crosses(box, gutters):
            columns[_column(box, gutters)].append(box)
    return columns


def _crosses(box: Box, gutters: Sequence[float]) -> bool:
    return any(box.left < gutter < box.right for gutter in gutters)


def _column(box: Box, gutters: Sequence[float]) -> int:
    return sum(1 for gutter in gutters if box.left >= gutter)


def _drawn_across(boxes: Sequence[Box], gutters: Sequence[float]) -> bool:
    """Whether lines were drawn right behind what stands beside them."""
    beside = across = 0
    for before, box in pairwise(boxes):
        if _crosses(before, gutters) or _crosses(box, gutters):
            continue
        beside += 1
        same_line = abs(before.middle - box.middle) < (box.top - box.bottom) / 2
        across += same_line and _column(before, gutters) != _column(box, gutters)
    # Of n lines in two columns n are followed by their neighbour, and n by the next line.
    return across >= _ACROSS * beside * len(gutters) / (len(gutters) + 1)


def _is_prose(boxes: Sequence[Box]) -> bool:
    lines = list(_lines(boxes))
    if len(lines) < _FEWEST_LINES:
        return False
    width = max(box.right for box in boxes) - min(box.left for box in boxes)
    wide = sum(1 for line in lines if line[-1].right - line[0].left >= _FILLED * width)
    texts = [" ".join(box.text.strip() for box in line) for line in lines]
    goes_on = sum(1 for line, after in pairwise(texts) if line[-1] not in _END and after[0].islower())
    long_enough = statistics.median(map(len, texts)) >= _FEWEST_LETTERS
    return long_enough and wide >= len(lines) / 2 and goes_on >= _GOES_ON * (len(lines) - 1)


def _lines(boxes: Sequence[Box]) -> Iterator[list[Box]]:
    line: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.middle):
        if line and line[0].middle - box.middle > (line[0].top - line[0].bottom) / 2:
            yield sorted(line, key=lambda box: box.left)
            line = []
        line.append(box)
    if line:
        yield sorted(line, key=lambda box: box.left)


def _cut(boxes: Sequence[Box], gutters: Sequence[float], width: float, height: float) -> Iterator[Region]:
    """Each stretch of the page column by column, and what reaches over the columns between them."""
    edges = [0.0, *gutters, width]
    top = height
    for wide in (*sorted((b for b in boxes if _crosses(b, gutters)), key=lambda b: -b.top), None):
        bottom = wide.top if wide else 0.0
        if bottom < top:
            for left, right in pairwise(edges):
                yield Region(left, bottom, right, top)
        if wide:
            yield Region(0.0, wide.bottom, width, min(wide.top, top))
            top = min(top, wide.bottom)
