"""Cuts a text into pieces of a size at the best places there are, and knows where each one stands."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

# From the best place to cut to the worst: between paragraphs, lines, sentences, clauses, words.
_PLACES = (
    ("\n\n",),
    ("\n",),
    (". ", "? ", "! ", "。", "！", "？", "।", "؟ "),
    ("; ", "；"),
    (", ", "、", "，"),
    (" ", "\t", "\u200b"),
)
# A piece is at least this part of the size, or a worse place is taken: so pieces stay few.
_FILLED = 0.25


def pieces(text: str, start: int, end: int, *, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each piece of `text[start:end]`, without the blanks around it."""
    at = start
    while at < end:
        if text[at].isspace():
            at += 1
            continue
        stop = end if end - at <= size else _cut(text, at, size)
        last = stop
        while text[last - 1].isspace():
            last -= 1
        yield at, last
        at = stop


def _cut(text: str, at: int, size: int) -> int:
    first, until = at + max(1, int(size * _FILLED)), at + size
    for marks in _PLACES:
        found = max(text.rfind(mark, first, until) + len(mark) for mark in marks)
        if found > first:
            return found
    # Within a word: but not between a letter and the marks on it.
    while until > first and unicodedata.combining(text[until]):
        until -= 1
    return until
