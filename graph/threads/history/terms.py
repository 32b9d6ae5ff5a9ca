"""What a person looks for in the words of messages, and where in a message it stands.

What a person types is never a query language: "two words" in quotes stand together, a * at the
end of a word stands for any ending, and everything else is words, as `core.words` compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.words import Place, places, sought, unspaced
from graph.db.tables import INDEXED_LETTERS

MOST_TERMS = 16
MOST_WORDS = 64
SNIPPET_LETTERS = 200
_TERM = re.compile(r'"([^"]*)"|(\S+)')


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


def terms(query: str) -> list[Term]:
    """What to look for; empty when the query has no letter and no digit."""
    found = []
    for quoted, plain in _TERM.findall(query):
        text = quoted or plain
        wanted, goes_on = sought(text)
        if wanted:
            cut = len(wanted) > MOST_WORDS
            found.append(Term(tuple(wanted[:MOST_WORDS]), prefix=(goes_on or text.endswith("*")) and not cut))
    return found[:MOST_TERMS]


def snippet(text: str, wanted: Sequence[Term]) -> tuple[str, list[list[int]]]:
    """A part of `text` around the first hit, and [start, end] of each hit within it."""
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
    stand = places(text[:INDEXED_LETTERS])
    found = [word for word, _, _ in stand]
    until = 0
    for at, (word, start, _) in enumerate(stand):
        ends = [
            _end(stand[at + len(term.words) - 1], term)
            for term in wanted
            if word.startswith(term.words[0]) and term.matches(found[at : at + len(term.words)])
        ]
        # Pairs of characters overlap: a hit is shown once.
        if ends and start >= until:
            until = max(ends)
            yield start, until


def _end(last: Place, term: Term) -> int:
    """Where a hit ends: of a pair that was found by its first character, only that one is meant."""
    _, start, end = last
    alone = term.prefix and len(term.words[-1]) == 1 and unspaced(term.words[-1])
    return start + 1 if alone else end
