"""Terms: what the index stores of a text, and what a question looks for.

A word stands for its stem in the language of the text, names and numbers for
themselves, whole and by their parts. Both sides go through the same
steps, so that a match never depends on how a particular index cuts text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from core.words import fold
from nodes.rag.languages import DEFAULT, language_of, small, stem
from nodes.rag.tokens import cut, joined, parts, tokens

MAX_QUERY_TERMS = 64
# A number of so many digits may be that of something, and is asked for alone.
ID_DIGITS = 4
# § 312, #42: a number with such a sign is that of something, however short.
_NUMBERING = "#§№"

_CACHED_LETTERS = 40
# A longer message is more than a sum.
_SUM_LETTERS = 200
_SUM_WORDS = ("add", "calculate", "compute", "divide", "minus", "multiply", "plus", "subtract")
_SUMS = frozenset(stem(word, DEFAULT) for word in _SUM_WORDS)
_OPERATORS = frozenset("+-*/×÷^%")
_FORMULA = re.compile(r"[\d.,()+*/×÷^%=?-]+")
_DIFFERENCE = re.compile(r"\(?[1-9]\d{0,2}[-/][1-9]\d{0,2}\)?[=?]*")


def terms(text: str, language: str = DEFAULT) -> list[str]:
    """What the index stores of a text in `language`, in order."""
    found: list[str] = []
    groups: list[str] = []
    for given in parts(text):
        digits, kept = _kept(given, language) if len(given) <= _CACHED_LETTERS else _terms_of(given, language)
        if groups and not digits:
            found += (number.text for number in joined(groups))
            groups = []
        if digits:
            groups.append(digits)
        found += kept
    return [*found, *(number.text for number in joined(groups))]


def _terms_of(given: str, language: str) -> tuple[str, list[str]]:
    digits, cuts = cut(given)
    kept: list[str] = []
    for token in cuts:
        if token.whole:
            kept.append(token.text)
        elif len(token.text) > 1 and not small(plain := fold(token.text), (language,)):
            kept += _forms(token.text, plain, (language,))
    return digits, kept


# The same words come again and again, and cutting one takes twenty times as long as finding it here.
_kept = lru_cache(maxsize=50_000)(_terms_of)


def query_terms(query: str, languages: Sequence[str] = (DEFAULT,)) -> list[str]:
    """The distinct terms of a question to texts in `languages`; none for small talk and plain arithmetic."""
    return terms_of(asked(query, languages))


def terms_of(words: Iterable[tuple[str, ...]]) -> list[str]:
    """What the index is asked for; of a long message a part."""
    return _bounded(list(dict.fromkeys(form for word in words for form in word)))


def asked(query: str, languages: Sequence[str] = (DEFAULT,)) -> list[tuple[str, ...]]:
    """The words of a question, each with the terms that may stand for it."""
    spoken = language_of(query)
    asked_in = tuple(dict.fromkeys([*languages, spoken] if spoken else languages))
    small_in = (spoken,) if spoken else asked_in
    found: dict[tuple[str, ...], None] = {}
    for token in tokens(query):
        plain = token.text if token.whole else fold(token.text)
        if token.whole:
            found[plain,] = None
        elif len(plain) > 1 and not small(plain, small_in):
            found[tuple(_forms(token.text, plain, asked_in))] = None
    if _calculates(query) or _told_to_calculate(query):
        found = {word: None for word in found if word[0] not in _SUMS and any(map(str.isalpha, word[0]))}
    numbered = any(sign in query for sign in _NUMBERING)
    return list(found) if numbered or not all(_little_number(word[0]) for word in found) else []


def _forms(word: str, plain: str, languages: Iterable[str]) -> list[str]:
    """The stems of a word as it is written, and as people type it who leave accents out."""
    if word == plain:
        return list(dict.fromkeys(stem(word, language) for language in languages))
    return list(dict.fromkeys(stem(form, language) for language in languages for form in (word, plain)))


def _little_number(term: str) -> bool:
    """A number that, alone, asks for nothing that a text could answer."""
    return term.isdecimal() and len(term) < ID_DIGITS


def _calculates(query: str) -> bool:
    """True for a question with a sum in it: 5 + 3, 2*7, 100/4. Dates, ids and addresses are none."""
    given = query.split()
    for before, part, after in zip(["", *given], given, [*given[1:], ""], strict=False):
        if part in _OPERATORS and before[-1:].strip(")").isdecimal() and after[:1].strip("(").isdecimal():
            return True
        if _FORMULA.fullmatch(part) and any(c in "+*×÷^" for c in part[1:]) and part[0] != "+":
            return True
        if _DIFFERENCE.fullmatch(part):
            return True
    return False


def _told_to_calculate(query: str) -> bool:
    """True for a sum in words: multiply 1234 by 567."""
    words = fold(query[:_SUM_LETTERS]).replace("?", " ").split()
    numbers = sum(1 for word in words if word.strip(".,!").replace(".", "").replace(",", "").isdecimal())
    return numbers > 1 and any(stem(word, DEFAULT) in _SUMS for word in words)


def _bounded(found: list[str]) -> list[str]:
    """Of a long message its beginning and its end, where people put what they want to know."""
    half = MAX_QUERY_TERMS // 2
    return found if len(found) <= MAX_QUERY_TERMS else found[:half] + found[-half:]
