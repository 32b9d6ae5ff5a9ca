"""Terms: what the index stores of a text, and what a question looks for.

A word stands for its stem in the language of the text, names and numbers for
themselves, whole and by their parts. Both sides go through the same
steps, so that a match never depends on how a particular index cuts text. By their
terms the [n] of an answer are led back to quotes that stand word for word in the
cited documents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from core.languages import DEFAULT, language_of, small, stem
from core.words import MOST_LETTERS, fold, is_row, unspaced, words

MAX_QUERY_TERMS = 64
# A number of so many digits may be that of something, and is asked for alone.
ID_DIGITS = 3
# § 312, #42: a number with such a sign is that of something, however short.
_NUMBERING = "#§№"

_CACHED_LETTERS, _CACHED_WORDS = 40, 50_000
# A longer message is more than a sum.
_SUM_LETTERS = 200
_SUM_WORDS = ("add", "calculate", "compute", "divide", "minus", "multiply", "plus", "subtract")
_OPERATORS = frozenset("+-*/×÷^%")
_FORMULA = re.compile(r"[\d.,()+*/×÷^%=?-]+")
_DIFFERENCE = re.compile(r"\(?[1-9]\d{0,2}[-/][1-9]\d{0,2}\)?[=?]*")
# Longer ones are no names but data; only their parts count.
MOST_OF_A_NAME = 80
MOST_JOINED = 40
# Groups of digits with this many digits are one number: a telephone number or an ISBN.
FEWEST_DIGITS, MOST_DIGITS = 7, 20
# What parts words in any case, and what may stand within a name.
_PARTING = str.maketrans(
    dict.fromkeys("()[]{}<>;\"=|*`!?“”„‟«»…~^$%§'’‘‛¿¡。、，；：？！（）「」『』【】・\x00", " ")
)
_COMMA = re.compile(r",(?:(?!\d)|(?<!\d,))")
_EDGES = "-_./:@&\\,–—·•†+#"
_WITHIN = str.maketrans(dict.fromkeys("-_./:@&\\,–—·•†+#‐‑‒−", " "))
_PIECES = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_DIGITS = re.compile(r"\d+|\D+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+(?:,\d+)?")

MAX_QUOTE_CHARS = 600
_MARK = re.compile(r"\[\s*(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\s*\]")
# A full stop before space ends a sentence, and so does a line's end before a list item, row or heading.
# The dot of "1. first" and of "e.g." ends nothing.
_STOP = r"(?<=[.!?…])(?<!^\d\.)(?<!^\d\d\.)(?<!\be\.g\.)(?<!\bi\.e\.)[\"'”’)\]]*(?:\s*\[[\d,;\s]+\])*(?=\s)"
_ITEM = r"\n(?=\s*(?:[-*+|>#]|\d+[.)]\s))"
_END = re.compile(rf"{_STOP}|[。！？।॥؟۔።]|{_ITEM}|\n\s*\n", re.MULTILINE)


@cache
def _sums() -> frozenset[str]:
    return frozenset(stem(word, DEFAULT) for word in _SUM_WORDS)


def terms(text: str, language: str = DEFAULT) -> list[str]:
    """What the index stores of a text in `language`, in order."""
    found: list[str] = []
    groups: list[str] = []
    known = _known(language)
    for given in parts(text):
        digits, kept = known[given]
        if digits or groups:
            if groups and not digits:
                found += (number.text for number in joined(groups))
                groups = []
            if digits:
                groups.append(digits)
        found += kept
    return [*found, *(number.text for number in joined(groups))]


class _Known(dict[str, tuple[str, list[str]]]):
    """What has been cut before: the same words come again, and cutting one takes many times as long."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language

    def __missing__(self, given: str) -> tuple[str, list[str]]:
        made = _terms_of(given, self._language)
        if len(given) <= _CACHED_LETTERS:
            # Words of one's own come again within a minute, so to begin anew costs little.
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[given] = made
        return made


_known = cache(_Known)


def _terms_of(given: str, language: str) -> tuple[str, list[str]]:
    digits, cuts = cut(given)
    kept: list[str] = []
    for token in cuts:
        if token.whole:
            kept.append(token.text)
        elif len(token.text) > 1 and not small(plain := fold(token.text), (language,)):
            kept += _forms(token.text, plain, (language,))
    return digits, kept


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
        found = {word: None for word in found if word[0] not in _sums() and any(map(str.isalpha, word[0]))}
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
    return numbers > 1 and any(stem(word, DEFAULT) in _sums() for word in words)


def _bounded(found: list[str]) -> list[str]:
    """Of a long message its beginning and its end, where people put what they want to know."""
    half = MAX_QUERY_TERMS // 2
    return found if len(found) <= MAX_QUERY_TERMS else found[:half] + found[-half:]


@dataclass(frozen=True, slots=True)
class Token:
    """A word to be stemmed, or (`whole`) something to be taken as it is."""

    text: str
    whole: bool = False


def tokens(text: str) -> Iterator[Token]:
    """Everything in `text` that may be looked for, in order; names come whole first, then their parts."""
    groups: list[str] = []
    for given in parts(text):
        digits, found = cut(given)
        if groups and not digits:
            yield from joined(groups)
            groups = []
        if digits:
            groups.append(digits)
        yield from found
    yield from joined(groups)


def parts(text: str) -> list[str]:
    """What stands between blanks and brackets; a comma within a number parts nothing."""
    even = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _COMMA.sub(" ", even.translate(_PARTING)).split()


def cut(given: str) -> tuple[str, list[Token]]:
    """(digits, tokens) of one of `parts`; digits of what consists of digits and separators."""
    core = given.strip(_EDGES)
    if core.isascii() and core.isalpha() and core[1:].islower():
        return "", [Token(core[:MOST_LETTERS].lower())]
    return _digits(core), list(_name(core, given)) if core else []


def joined(groups: list[str]) -> Iterator[Token]:
    """Groups of digits behind one another as one number: 030 1234567."""
    number = "".join(groups)
    if len(groups) > 1 and FEWEST_DIGITS <= len(number) <= MOST_DIGITS:
        yield Token(fold(number), whole=True)


def _digits(core: str) -> str:
    """The digits of something that consists of digits and separators; "" for anything else."""
    bare = core.translate(_WITHIN).replace(" ", "")
    return bare if bare.isdecimal() else ""


def _name(core: str, given: str) -> Iterator[Token]:
    pieces = [piece for part in core.translate(_WITHIN).split() for piece in _pieces(part)]
    if len(core) <= MOST_OF_A_NAME and (len(pieces) > 1 or _signed(core, given)):
        yield from _wholes(core, given, pieces)
    for piece in pieces:
        yield from _part(piece)


def _signed(core: str, given: str) -> bool:
    """C++ and C# are names with their signs."""
    return len(core) <= 2 and core.isalpha() and given.rstrip(".,:").endswith((core + "#", core + "++"))


def _wholes(core: str, given: str, pieces: list[str]) -> Iterator[Token]:
    if _signed(core, given):
        yield Token(fold(given.strip(".,:-_/@&")), whole=True)
        return
    whole = fold(core)
    if not unspaced(whole) and not any(map(unspaced, pieces)):
        yield Token(whole, whole=True)
        bare = fold("".join(pieces))
        named = not bare.isdecimal() or len(bare) >= FEWEST_DIGITS
        if bare != whole and named and len(bare) <= MOST_JOINED:
            yield Token(bare, whole=True)
    if _THOUSANDS.fullmatch(core):
        mark = "," if core.find(",") < core.find(".") or "." not in core else "."
        mark = "." if "," not in core else mark
        yield Token(core.replace(mark, "").replace(",", "."), whole=True)


def _pieces(part: str) -> list[str]:
    """The words of `toolCalls` and `sha256`; of what is too long to be a name, itself."""
    if len(part) > MOST_OF_A_NAME:
        return [part[:MOST_LETTERS]]
    return _PIECES.findall(part) if part.isascii() else _DIGITS.findall(part)


def _part(part: str) -> Iterator[Token]:
    if part.isascii():
        yield Token(part.lower(), whole=not part.isalpha())
        return
    found = words(part)
    if any(map(unspaced, found)):
        # The last character stands alone only where there is no other.
        yield from (Token(w, whole=True) for w in found if len(w) > 1 or not unspaced(w) or len(found) == 1)
    elif len(found) == 1 and not found[0].isdecimal():
        yield Token(part.casefold())
    else:
        yield from (Token(word, whole=True) for word in found)


def cite(answer: str, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One citation per document that `answer` refers to as [n], in order of first mention.

    The quote is the sentence of the document that shares most with the
    sentences that carry its [n]. A number that no document has is passed over.

    Args:
        documents: Dicts of the graph's state: n, source, document, title, text, uri.
    """
    by_number = {int(document["n"]): document for document in documents}
    claims: dict[int, list[str]] = {}
    for sentence in _claims(answer):
        for number in cited_numbers(sentence):
            if number in by_number:
                claims.setdefault(number, []).append(_MARK.sub(" ", sentence))
    return [_citation(n, by_number[n], " ".join(said)) for n, said in claims.items()]


def cited_numbers(text: str) -> list[int]:
    """The distinct n of [n], [n, m] and [n][m], in order."""
    found = (int(n) for mark in _MARK.finditer(text) for n in re.findall(r"\d+", mark.group(1)))
    return list(dict.fromkeys(found))


def sentences(text: str) -> list[str]:
    """Verbatim sentences, list items, rows and lines of `text`, without the space around them."""
    found: list[str] = []
    prose: list[str] = []
    for line in text.split("\n"):
        if not is_row(line):
            prose.append(line)
            continue
        found += [*_prose("\n".join(prose)), line.strip()]
        prose = []
    return [*found, *_prose("\n".join(prose))]


def _prose(text: str) -> Iterator[str]:
    start = 0
    for end in [*(m.end() for m in _END.finditer(text)), len(text)]:
        piece = text[start:end].strip()
        start = end
        if piece:
            yield piece


def best_sentence(text: str, claim: str) -> str:
    """The sentence of `text` that shares the most with `claim`; the first where none shares anything."""
    candidates = [s for s in sentences(text) if terms(s)] or sentences(text)
    if not candidates:
        return ""
    # A heading names a subject and states nothing: quote it only where there is no more.
    said = [s for s in candidates if not s.startswith("#")] or candidates
    wanted, claimed = set(terms(claim)), " ".join(claim.split())
    best = max(said, key=lambda s: _likeness(s, wanted, claimed))
    return best if len(best) <= MAX_QUOTE_CHARS else _stretch(best, wanted)


def _stretch(sentence: str, wanted: set[str]) -> str:
    """Of what is too long to quote, the stretch with most of what is wanted: a wide row's cells, say."""
    step = MAX_QUOTE_CHARS // 4
    starts = range(0, len(sentence) - MAX_QUOTE_CHARS + step, step)
    at = max(starts, key=lambda i: len(wanted & set(terms(sentence[i : i + MAX_QUOTE_CHARS]))))
    if at:  # not amid a word
        at = sentence.find(" ", at, at + step) + 1 or at
    return sentence[at : at + MAX_QUOTE_CHARS].strip()


def _claims(answer: str) -> list[str]:
    """The answer's sentences; a mark that stands alone after a full stop belongs to what it follows."""
    found: list[str] = []
    for sentence in sentences(answer):
        if found and not _MARK.sub("", sentence).strip(" .;,"):
            found[-1] += " " + sentence
        else:
            found.append(sentence)
    return found


def _likeness(sentence: str, wanted: set[str], claimed: str) -> tuple[bool, float]:
    here = set(terms(sentence))
    shared = len(here & wanted)
    # The share of both sides, so that neither a long sentence nor a one-word line wins by its size.
    both = 2 * shared / (len(here) + len(wanted)) if here or wanted else 0.0
    return " ".join(sentence.split()) in claimed, both


def _citation(n: int, document: Mapping[str, Any], claim: str) -> dict[str, Any]:
    return {
        "n": n,
        "source": document["source"],
        "document": document["document"],
        "title": document["title"],
        "quote": best_sentence(str(document["text"]), claim),
        "uri": document["uri"],
    }
