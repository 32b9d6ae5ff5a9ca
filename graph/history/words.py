"""Words of a search, and where they stand in a text; the same on every database.

A word is a run of letters and digits; case and accents do not count. What a
person types is never a query language: "two words" in quotes stand together,
a * at the end of a word stands for any ending, and everything else is words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_TERMS = 16
SNIPPET_LETTERS = 200
# What PostgreSQL indexes of a message: a tsvector has a limit of 1 MiB, and an insert would fail past it.
INDEXED_LETTERS = 100_000

_TERM = re.compile(r'"([^"]*)"|(\S+)')
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand one behind the other; with `prefix` the last one may go on."""

    words: tuple[str, ...]
    prefix: bool = False

    def matches(self, found: Sequence[str]) -> bool:
        """True when `found`, as many words, are this term."""
        *first, last = self.words
        if list(found[:-1]) != first or len(found) != len(self.words):
            return False
        return found[-1].startswith(last) if self.prefix else found[-1] == last


def fold(word: str) -> str:
    """The word without case and accents."""
    bare = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return bare.lower()


def terms(query: str) -> list[Term]:
    """What to look for; empty when the query has no letter and no digit."""
    found = []
    for quoted, plain in _TERM.findall(query):
        text = quoted or plain
        words = tuple(fold(word) for word in _WORD.findall(text))
        if words:
            found.append(Term(words, prefix=text.endswith("*")))
    return found[:MOST_TERMS]


def snippet(text: str, wanted: Sequence[Term]) -> tuple[str, list[list[int]]]:
    """A part of `text` around the first hit, and [start, end] of each hit within it.

    Without a hit (the index knows a word that is written otherwise) the text's beginning.
    """
    hits = list(_hits(text, wanted))
    start = max(0, hits[0][0] - SNIPPET_LETTERS // 3) if hits else 0
    end = start + SNIPPET_LETTERS
    marks = [[a - start, b - start] for a, b in hits if a >= start and b <= end]
    shown = text[start:end].translate(_BLANKS)
    before, after = "…" if start else "", "…" if end < len(text) else ""
    return f"{before}{shown}{after}", [[a + len(before), b + len(before)] for a, b in marks]


# One for one, so that places stay what they are.
_BLANKS = str.maketrans("\n\r\t", "   ")


def _hits(text: str, wanted: Sequence[Term]) -> Iterator[tuple[int, int]]:
    places = [(m.start(), m.end(), fold(m.group())) for m in _WORD.finditer(text[:INDEXED_LETTERS])]
    words = [word for _, _, word in places]
    for at, (start, _, _) in enumerate(places):
        for term in wanted:
            until = at + len(term.words)
            if until <= len(words) and term.matches(words[at:until]):
                yield start, places[until - 1][1]
                break
