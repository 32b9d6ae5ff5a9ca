"""Words of a text: where they stand, their stems, and which of them mean the same."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nodes.llm.offline.vocabulary import SAME, STOP

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*", re.UNICODE)
_NAME_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+", re.UNICODE)

_CANON = {word: line.split()[0] for line in SAME.strip().splitlines() for word in line.split()}
_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ies", "ed", "es", "ly", "s")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text; `start` and `end` are character positions."""

    text: str
    stem: str
    start: int
    end: int

    @property
    def stopped(self) -> bool:
        return self.text.lower() in STOP


def stem(word: str) -> str:
    """A light stem: plural and verb endings go, doubled consonants become one."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    if len(word) < 4 or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            base = word[: -len(ending)]
            return _rounded(base + "y" if ending == "ies" else base)
    return _rounded(word)


def _rounded(base: str) -> str:
    if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "aeiouls":
        base = base[:-1]
    return base[:-1] if len(base) > 3 and base.endswith("e") else base


_CANON_STEMS = {stem(word): stem(first) for word, first in _CANON.items()}


def meaning(word: str) -> str:
    """The stem that stands for the word and for those that mean the same."""
    found = stem(word)
    return _CANON_STEMS.get(found, found)


def words(text: str) -> list[Word]:
    """The words of a text in order."""
    return [Word(m.group(), stem(m.group()), m.start(), m.end()) for m in _WORD.finditer(text)]


def content_words(text: str) -> list[Word]:
    """The words that carry meaning."""
    return [word for word in words(text) if not word.stopped]


def name_parts(name: str) -> list[str]:
    """`group_by` and `groupBy` as words."""
    return [part.lower() for part in _NAME_PART.findall(name)]
