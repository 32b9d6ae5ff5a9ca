"""The words that an index holds: how rare each is, and what a word that it does not hold was meant to be.

A question is asked in people's own words. One that the index does not hold may be written
wrong (`postgress`), put together of words that it does hold (`Datensicherungsplan`), or be what
people of this source call otherwise (`chat` for a thread, as its entry says).
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from nodes.rag.models import Hit
from nodes.rag.ports import ChunkStore
from nodes.rag.terms import asked, terms

# More say nothing new about how rare a word is.
SAMPLED = 20_000
# An index that grew by so much, or changed so long ago, is looked at again.
_GROWN, _AGE_S = 1.2, 30.0
# A shorter word has too many neighbours; a longer one may have two letters wrong.
_FEWEST_LETTERS, _LONG = 6, 8
_FEWEST_OF_A_PART = 4
# Comparing a word with all that an index holds takes some milliseconds, and it is asked about thrice.
_KEPT = 1000
_K1, _B = 1.2, 0.75
# What German puts between the parts of a word.
_JOINTS = ("", "s", "n", "en", "es")
_WORD = re.compile(r"(?<![\w.-])[^\W\d_]{5,}(?![\w-]|\.\w)")
# What a synonym counts, compared with the word that was asked for.
_SYNONYM_COUNTS = 0.8


class Vocabulary:
    """In how many chunks each term stands, of so many that were looked at.

    Args:
        chunks: How many the index has in all.
    """

    def __init__(self, counts: Mapping[str, int], looked_at: int, chunks: int) -> None:
        self.chunks = chunks
        self._counts = counts
        self._looked_at = looked_at
        self._likest: dict[tuple[str, ...], tuple[int, str]] = {}
        self._alike: dict[tuple[str, int], list[str]] | None = None

    def rarity(self, forms: Iterable[str]) -> float:
        """What the word with these terms tells: the inverse document frequency of BM25."""
        held = max((self._counts.get(form, 0) for form in forms), default=0)
        return math.log(1 + (self._looked_at - held + 0.5) / (held + 0.5))

    def holds(self, forms: Iterable[str]) -> bool:
        """Whether one of these terms stands anywhere."""
        return any(form in self._counts for form in forms)

    def weighed(
        self,
        found: Sequence[Hit],
        words: Sequence[tuple[str, ...]],
        synonyms: Mapping[tuple[str, ...], Sequence[str]],
    ) -> list[Hit]:
        """The hits with the scores of BM25 (k1 1.2, b 0.75) in an index of this alone, synonyms as one word.

        A store weighs words by all it holds: for one who sees a part of it, scores and their order would
        tell how often a word stands in the rest. And it takes each synonym for a word of its own: a passage
        with three names of a thing would stand before one with all that was asked for.
        """
        usual = self._usual()
        rarities = {forms: self.rarity(forms) for forms in words}
        return [
            replace(hit, score=_weight(Counter(hit.chunk.terms.split()), rarities, synonyms, usual))
            for hit in found
        ]

    def _usual(self) -> float:
        """How many distinct terms a passage has."""
        return max(1.0, sum(self._counts.values()) / max(1, self._looked_at))

    def meant(self, words: Sequence[tuple[str, ...]]) -> list[str]:
        """Terms that the index holds for those words of a question that it does not hold."""
        unknown = [forms for forms in words if not self.holds(forms)] if self._counts else []
        read = [self._parts(forms) or [self._nearest(tuple(forms))[1]] for forms in unknown]
        return [term for terms_read in read for term in terms_read if term]

    def as_held(self, words: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """The words of a question; one with a single letter wrong as the one that the index holds.

        Two letters make another word too often: those are looked for as well, and nobody takes them for it.
        """
        return list(dict.fromkeys(self._slip(forms) or forms for forms in words))

    def corrected(self, text: str, languages: Sequence[str]) -> str:
        """`text` with such slips mended, for who compares by meaning."""

        def mended(given: re.Match[str]) -> str:
            forms = tuple(form for language in languages for form in terms(given.group(), language))
            return next(iter(self._slip(forms)), given.group())

        return _WORD.sub(mended, text)

    def _slip(self, forms: tuple[str, ...]) -> tuple[str, ...]:
        known = self.holds(forms) or not self._counts
        apart, term = (0, "") if known or self._parts(forms) else self._nearest(forms)
        return (term,) if apart == 1 else ()

    def _parts(self, forms: Iterable[str]) -> list[str]:
        for form in forms:
            for at in range(_FEWEST_OF_A_PART, len(form) - _FEWEST_OF_A_PART + 1):
                first, second = form[:at], form[at:]
                heads = (first.removesuffix(joint) for joint in _JOINTS if first.endswith(joint))
                head = next((h for h in heads if len(h) >= _FEWEST_OF_A_PART and h in self._counts), "")
                if head and second in self._counts:
                    return [head, second]
        return []

    def _nearest(self, forms: tuple[str, ...]) -> tuple[int, str]:
        """How many letters apart the likest term is, and the term; (0, "") where none is like it."""
        if forms not in self._likest:
            if len(self._likest) >= _KEPT:
                self._likest.clear()
            self._likest[forms] = self._likest_of(forms)
        return self._likest[forms]

    def _likest_of(self, forms: Iterable[str]) -> tuple[int, str]:
        near: list[tuple[int, int, str]] = []
        for form in forms:
            if len(form) < _FEWEST_LETTERS or not form.isalpha():
                continue
            most = 1 if len(form) < _LONG else 2
            for other in self._of_like_length(form, most):
                apart = _apart(form, other, most)
                if apart <= most:
                    near.append((apart, -self._counts[other], other))
        return (min(near)[0], min(near)[2]) if near else (0, "")

    def _of_like_length(self, word: str, most: int) -> Iterable[str]:
        if self._alike is None:
            self._alike = {}
            for term in self._counts:
                if len(term) >= _FEWEST_OF_A_PART and term.isalpha():
                    self._alike.setdefault((term[0], len(term)), []).append(term)
        for length in range(len(word) - most, len(word) + most + 1):
            yield from self._alike.get((word[0], length), ())


def _weight(
    held: Counter[str],
    rarities: Mapping[tuple[str, ...], float],
    synonyms: Mapping[tuple[str, ...], Sequence[str]],
    usual: float,
) -> float:
    # A passage is as long as it has distinct terms: of these the vocabulary knows how many are usual.
    length = _K1 * (1 - _B + _B * len(held) / usual)
    told = 0.0
    for forms, rarity in rarities.items():
        own = max((held[form] for form in forms), default=0)
        other = 0 if own else max((held[form] for form in synonyms.get(forms, ())), default=0)
        told += rarity * own * (_K1 + 1) / (own + length)
        told += rarity * _SYNONYM_COUNTS * other * (_K1 + 1) / (other + length)
    return told


def _apart(one: str, other: str, most: int) -> int:
    """Letters that are missing, wrong, too many or in each other's place (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, there in enumerate(other, start=1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != there))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == there:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
        before, last = last, row
    return last[-1]


class Vocabularies:
    """The vocabulary of one index, read again when the index has changed.

    Args:
        clock: Seconds.
    """

    def __init__(self, store: ChunkStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: Vocabulary | None = None
        self._read_at = 0.0
        self._edition = ""
        self._reading = asyncio.Lock()

    async def current(self) -> Vocabulary:
        """What the index holds, or held half a minute ago."""
        async with self._reading:
            chunks, edition = await self._store.size(), self._store.edition()
            another = edition != self._edition
            if self._known is None or another or self._is_old(self._known.chunks, chunks):
                counts, looked_at = await self._store.term_counts(most=SAMPLED)
                self._edition = edition
                self._known, self._read_at = Vocabulary(counts, looked_at, chunks), self._clock()
            return self._known

    def _is_old(self, before: int, now: int) -> bool:
        grown = now > before * _GROWN or before > now * _GROWN
        return grown or (now != before and self._clock() > self._read_at + _AGE_S)


class Synonyms:
    """What people of a source call by several names.

    Args:
        groups: Names for the same thing, of one word or several.
    """

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        self._groups = groups
        self._made: dict[tuple[str, ...], list[list[list[tuple[str, ...]]]]] = {}

    def further(self, words: Sequence[tuple[str, ...]], languages: Sequence[str]) -> list[str]:
        """The terms of the other names of what a question names, for texts in `languages`."""
        found = self.of_words(words, languages).values()
        return list(dict.fromkeys(term for others in found for term in others))

    def of_words(
        self, words: Sequence[tuple[str, ...]], languages: Sequence[str]
    ) -> dict[tuple[str, ...], list[str]]:
        """The same for each word; a name of several has them at its first one."""
        if not self._groups:
            return {}
        spoken = tuple(languages)
        if spoken not in self._made:
            self._made[spoken] = [[asked(name, spoken) for name in group] for group in self._groups]
        said = {form: forms for forms in reversed(words) for form in forms}
        found: dict[tuple[str, ...], list[str]] = {}
        for group in self._made[spoken]:
            named = [name for name in group if name and all(not said.keys().isdisjoint(f) for f in name)]
            if named:
                others = [form for name in group if name not in named for forms in name for form in forms]
                word = next(said[form] for form in named[0][0] if form in said)
                found.setdefault(word, []).extend(form for form in others if form not in said)
        return found
