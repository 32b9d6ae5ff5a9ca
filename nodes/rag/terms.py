"""Terms: what the index stores of a text, and what a question looks for.

A word stands for its stem in the language of the text, names and numbers for
themselves, whole and by their parts. Both sides go through the same
steps, so that a match never depends on how a particular index cuts text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from core.words import fold
from nodes.rag.languages import DEFAULT, language_of, small, stem
from nodes.rag.tokens import tokens

MAX_QUERY_TERMS = 64
# A number of so many digits may be that of something, and is asked for alone.
ID_DIGITS = 4

_OPERATORS = frozenset("+-*/×÷^%")
_FORMULA = re.compile(r"[\d.,()+*/×÷^%=?-]+")
_DIFFERENCE = re.compile(r"\(?[1-9]\d{0,2}[-/][1-9]\d{0,2}\)?[=?]*")


def terms(text: str, language: str = DEFAULT) -> list[str]:
    """What the index stores of a text in `language`, in order."""
    found: list[str] = []
    spoken = (language,)
    for token in tokens(text):
        if token.whole:
            found.append(token.text)
        elif len(token.text) > 1 and not small(plain := fold(token.text), spoken):
            found += _forms(token.text, plain, spoken)
    return found


def query_terms(query: str, languages: Sequence[str] = (DEFAULT,)) -> list[str]:
    """The distinct terms of a question to texts in `languages`; none for small talk and plain arithmetic."""
    spoken = language_of(query)
    asked_in = tuple(dict.fromkeys([*languages, spoken] if spoken else languages))
    small_in = (spoken,) if spoken else asked_in
    found: dict[str, None] = {}
    for token in tokens(query):
        plain = token.text if token.whole else fold(token.text)
        if token.whole:
            found[plain] = None
        elif len(plain) > 1 and not small(plain, small_in):
            found.update(dict.fromkeys(_forms(token.text, plain, asked_in)))
    if _calculates(query):
        return _bounded([term for term in found if any(map(str.isalpha, term))])
    if all(_little_number(term) for term in found):
        return []
    return _bounded(list(found))


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
    parts = query.split()
    for before, part, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
        if part in _OPERATORS and before[-1:].strip(")").isdecimal() and after[:1].strip("(").isdecimal():
            return True
        if _FORMULA.fullmatch(part) and any(c in "+*×÷^" for c in part[1:]) and part[0] != "+":
            return True
        if _DIFFERENCE.fullmatch(part):
            return True
    return False


def _bounded(found: list[str]) -> list[str]:
    """Of a long message its beginning and its end, where people put what they want to know."""
    half = MAX_QUERY_TERMS // 2
    return found if len(found) <= MAX_QUERY_TERMS else found[:half] + found[-half:]
