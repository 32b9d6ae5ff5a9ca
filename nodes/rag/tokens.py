"""Cuts a text into what may be looked for: words, and names and numbers whole and by their parts.

`INV-20015`, `tool_calls`, `RAGClient`, `10.0.0.0/8`, `+49 30 1234567`, `v1.2.3`,
`docs/runs.md` and `ada@example.com` are each one thing to the person who asks,
and each is written in several ways. Every step here is one pass over the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from core.words import MOST_LETTERS, fold, unspaced, words

# Longer ones are no names but data; only their parts count.
MOST_OF_A_NAME = 80
MOST_JOINED = 40
# Groups of digits with this many digits are one number: a telephone number or an ISBN.
FEWEST_DIGITS, MOST_DIGITS = 7, 20

# What parts words in any case, and what may stand within a name.
_PARTING = str.maketrans(
    dict.fromkeys("()[]{}<>;\"=|*`!?“”„‟«»…~^$%§'’‘‛¿¡。、，；：？！（）「」『』【】・\x00", " ")
)
_COMMA = re.compile(r",(?!\d)|(?<!\d),")
_EDGES = "-_./:@&\\,–—·•†+#"
_WITHIN = str.maketrans(dict.fromkeys("-_./:@&\\,–—·•†+#‐‑‒−", " "))
_PIECES = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_DIGITS = re.compile(r"\d+|\D+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+(?:,\d+)?")


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
