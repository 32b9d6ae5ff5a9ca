"""Words that carry meaning: what the index stores, what a query asks for, what a quote shares.

Both sides go through the same few steps here, so that a match never depends on
how a particular index cuts text.
"""

from __future__ import annotations

import re
import unicodedata

MAX_QUERY_TERMS = 64

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Scripts that write without spaces are cut into pairs of characters.
_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿豈-﫿가-힯฀-๿]+")
# A number and what is reckoned with it, if anything is: so each is looked at once.
_ARITHMETIC = re.compile(r"\d[\d.,\s]*+((?:[-+*/×÷^%]\s*+\(?\s*+\d[\d.,\s]*+\)?)++)?")

STOP_WORDS = frozenset(  # a paragraph reads better than a list of two hundred strings
    """
    a about above after again all also am an and any are as ask at be because been before being below
    between both but by came can cannot could did do does doing done down each either else ever every few
    find for from further get give go got had has have having he hello help her here hers hey hi him his
    how i if in into is it its itself just know let like look make many may maybe me might mine more most
    much must my no nor not now of off ok okay on once one only or other our ours out over own please
    put say see shall she should show so some such tell than thank thanks that the their theirs them then
    there these they thing think this those through to today together too under until up upon us very want
    was way we well were what whatever when where whether which while who whom whose why will with within
    without would yes yet you your yours
    s t d ll m re ve isn aren wasn weren don doesn didn won wouldn couldn shouldn hasn haven hadn
    """.split()  # noqa: SIM905
)


def terms(text: str) -> list[str]:
    """The meaningful words of `text`, folded and shortened to their stem, in order."""
    folded = unicodedata.normalize("NFKC", _CAMEL.sub(" ", text)).casefold()
    found: list[str] = []
    for word in _WORD.findall(folded):
        if _UNSPACED.search(word):
            found.extend(_pairs(word))
        elif word not in STOP_WORDS and (len(word) > 1 or word.isdigit()):
            found.append(stem(word))
    return found


def query_terms(query: str) -> list[str]:
    """The distinct terms of a query; none for small talk and plain arithmetic.

    Numbers count only beside a word: "17 23" asks for nothing that a text could answer.
    """
    without_sums = _ARITHMETIC.sub(lambda found: " " if found[1] else found[0], query)
    distinct = dict.fromkeys(t for t in terms(without_sums) if len(t) > 1)
    if all(term.isdigit() for term in distinct):
        return []
    return list(distinct)[:MAX_QUERY_TERMS]


def stem(word: str) -> str:
    """A light English stem: plural, -ing and -ed go; short words and other languages stay."""
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return stem(word[:-1])
    for ending in ("ing", "ed"):
        base = word.removesuffix(ending)
        if base != word and len(base) >= 3 and re.search("[aeiouy]", base):
            return _undoubled(base)
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def _undoubled(base: str) -> str:
    """`stopp` is `stop`, `indexe` is `index`; `add`, `call` and `pass` keep their double letter."""
    if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz":
        return base[:-1]
    return base[:-1] if base.endswith("e") and len(base) > 4 else base


def _pairs(word: str) -> list[str]:
    if len(word) < 2:
        return [word]
    return [word[i : i + 2] for i in range(len(word) - 1)]
