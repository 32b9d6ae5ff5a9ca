"""Bookmarks of a PDF as headings: which parts of a page stand under which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Path = tuple[str, ...]
# On one page that are looked for in its text.
_MOST_MARKS = 200
# What a page may have before the words of a heading, without its signs: `3.2`, `IV`, `Chapter 4`.
_NUMBER = re.compile(r"[^\W\d_]{0,12}\d{1,8}[a-z]?|[ivxlc]{1,7}|(chapter|part|section)[ivxlc]{1,7}")


@dataclass(frozen=True, slots=True)
class Mark:
    """A bookmark: the page that it leads to, from 1, its depth, and its words."""

    page: int
    level: int
    title: str


class Headings:
    """The headings of a document, page by page, the pages in their order.

    Args:
        marks: In the order of the document.
    """

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._marks: dict[int, list[Mark]] = {}
        for mark in marks:
            self._marks.setdefault(mark.page, []).append(mark)
        self._above: list[Mark] = []

    def parts(self, page: int, text: str) -> Iterator[tuple[Path, str]]:
        """The text of a page from heading to heading, each with the headings that it stands under.

        A heading that is not found on its page is taken for what the page begins with, if it is the only
        one; of several nobody knows which text is whose.
        """
        marks = self._marks.get(page, [])
        starts = list(_starts(text, marks)) if len(marks) <= _MOST_MARKS else []
        if len(marks) == 1 and not starts:
            starts = [(0, marks[0])]
        cuts = [0, *(at for at, _ in starts), len(text)]
        here = [None, *(mark for _, mark in starts)]
        unplaced = [mark for mark in marks if mark not in here]
        for mark, (begin, end) in zip(here, pairwise(cuts), strict=True):
            if mark is not None:
                self._go_under(mark)
            yield tuple(above.title for above in self._above), text[begin:end].strip()
        if unplaced:
            # What comes on the next page stands under the last of them all.
            for mark in marks:
                self._go_under(mark)

    def _go_under(self, mark: Mark) -> None:
        self._above = [*(above for above in self._above if above.level < mark.level), mark]


def _starts(text: str, marks: Sequence[Mark]) -> Iterator[tuple[int, Mark]]:
    """Where the lines begin that are headings."""
    lines: list[tuple[int, str]] = []
    at = 0
    for line in text.split("\n"):
        lines.append((at, _bare(line)))
        at += len(line) + 1
    number = 0
    for mark in marks:
        wanted = _bare(mark.title)
        for here in range(number, len(lines) if wanted else 0):
            below = lines[here + 1][1] if here + 1 < len(lines) else ""
            if _is(lines[here][1], wanted) or _is(lines[here][1], wanted, below=below):
                yield lines[here][0], mark
                number = here + 1
                break


def _is(line: str, wanted: str, *, below: str = "") -> bool:
    """Whether a heading stands in a line, behind its number, or begins in it and ends in the one below."""
    if not (line + below).endswith(wanted):
        return False
    before = line[: max(len(line + below) - len(wanted), 0)]
    return len(before) < len(line) and (not before or _NUMBER.fullmatch(before) is not None)


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
