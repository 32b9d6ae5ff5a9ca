"""The one way in which this project compares words: for what is stored and for what is asked alike.

Case does not count, nor do width, the accents of Latin and Greek letters, the
points of Arabic and Hebrew, nor the script of a digit. Marks that make another
letter or syllable stay: й is not и, ガ is not カ, and a vowel sign of Hindi is
no decoration. The result is NFC, so that an index holds it as it is asked for.

Scripts that put no spaces between words, and Korean with its endings, are cut
into overlapping pairs of characters: a word within a sentence is found by the
pairs that it consists of.

Rows of a table become sentences that carry the names of their columns: a row
that stands apart from its head says nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

# Longer runs of letters are no words; what they begin with stands for them.
MOST_LETTERS = 128

Place = tuple[str, int, int]

_LETTERS = {
    "ı": "i", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th",
    # Persian and Urdu write some letters of Arabic with code points of their own; tatweel only stretches.
    "ی": "ي", "ى": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ە": "ه", "ٱ": "ا", "ـ": "",
    # Everybody types е for ё; ѐ and ѝ carry a stress mark.
    "ё": "е", "ѐ": "е", "ѝ": "и",
    # Malayalam's letters without a vowel are written in two ways.
    "ൺ": "ണ്", "ൻ": "ന്", "ർ": "ര്", "ൽ": "ല്", "ൾ": "ള്", "ൿ": "ക്",
}  # fmt: skip
# Apostrophes, also those in the guise of letters, part words; where separators stay, they are one.
_SIGNS = {**dict.fromkeys("ʻʼʹ’‘‛′`´", "'"), **dict.fromkeys("“”„‟«»″", '"'), **dict.fromkeys("‐‑‒–—−", "-")}
_DECORATED = ("LATIN", "GREEK", "ARABIC", "HEBREW")
_DECORATIONS = (
    (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F),
    (0x0670, 0x0670), (0x06D6, 0x06ED), (0x0711, 0x0711), (0x0730, 0x074A), (0x180B, 0x180F),
    (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F), (0xFE20, 0xFE2F),
    (0xE0100, 0xE01EF),
)  # fmt: skip
_NUKTA = 7  # the combining class of the dot that makes ज़ of ज, which many leave out
_ZERO_WIDTH_SPACE = "\u200b"
# Thai, Lao, Myanmar, Khmer, kana, Bopomofo, Han and Hangul.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f\u3005-\u3007\u3041-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7a3\u1100-\u11ff\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_SOLID = re.compile(rf"[{_UNSPACED}]")
_WORD = re.compile(r"\S+")

_NAME = r"[^\n:;]{1,80}: "
_ROW = re.compile(rf"\s*{_NAME}[^\n]*?; {_NAME}")


class _Folds(dict[int, str]):
    """What each character becomes, worked out when it is first met. `parting`: separators become spaces."""

    def __init__(self, *, parting: bool) -> None:
        super().__init__()
        self._parting = parting

    def __missing__(self, code: int) -> str:
        char = chr(code)
        folded = _letter(char)
        found = (" " if self._parting else _SIGNS.get(char, char)) if folded is None else folded
        if unicodedata.category(char) != "Cn":
            self[code] = found
        return found


_KEEPING = _Folds(parting=False)
_PARTING = _Folds(parting=True)


def fold(text: str) -> str:
    """`text` without what does not count; separators stay. Folding twice changes nothing more."""
    return _folded(text, _KEEPING)


def words(text: str) -> list[str]:
    """The words of `text` as an index holds them, in order."""
    return [word for run in _folded(text, _PARTING).split() for word, _, _ in _cut(run, 0)]


def places(text: str) -> list[Place]:
    """(word, start, end) of each of `words(text)`; start and end are places in `text` as it is."""
    folded, starts, ends = _aligned(text)
    found: list[Place] = []
    for run in _WORD.finditer(folded):
        found += ((word, starts[a], ends[b - 1]) for word, a, b in _cut(run.group(), run.start()))
    return found


def sought(text: str) -> tuple[list[str], bool]:
    """The words that must stand one behind the other to find `text`, and whether the last may go on."""
    found = words(text)
    if not found or not unspaced(found[-1]):
        return found, False
    # Of a longer run the pair before holds its last character; alone, that begins the pairs that hold it.
    run = _RUN.findall(_folded(text, _PARTING).split()[-1])[-1]
    return (found[:-1], False) if len(run) > 1 else (found, True)


def unspaced(word: str) -> bool:
    """True for a word of a script that is cut into pairs."""
    return _SOLID.match(word) is not None


def _folded(text: str, table: _Folds) -> str:
    if text.isascii():
        return text.lower().translate(table)
    even = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = unicodedata.normalize("NFC", even.translate(table))
    # A mark that lost its place may now stand behind a letter that it makes another one of.
    return folded if folded == even else unicodedata.normalize("NFC", folded.translate(table))


def _letter(char: str) -> str | None:
    """What a letter, digit or mark is folded to; None for a separator."""
    if char in _LETTERS or char in _SIGNS:
        return _LETTERS.get(char)
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    if kind[0] == "M":
        return "" if _decoration(char) else char
    if kind == "Cf" and char != _ZERO_WIDTH_SPACE:
        return ""
    if kind[0] not in "LN":
        return None
    return _bare(char) if unicodedata.name(char, "").startswith(_DECORATED) else char


def _bare(char: str) -> str:
    parts = (c for c in unicodedata.normalize("NFD", char) if not unicodedata.combining(c))
    return "".join(_LETTERS.get(c, c) for c in parts)


def _decoration(mark: str) -> bool:
    code = ord(mark)
    return unicodedata.combining(mark) == _NUKTA or any(a <= code <= b for a, b in _DECORATIONS)


def _cut(run: str, start: int) -> Iterator[Place]:
    """A run of folded letters as words with their places; pairs where no spaces are written."""
    if run.isascii():
        yield run[:MOST_LETTERS], start, start + len(run)
        return
    for part in _RUN.finditer(run):
        word, at = part.group(), start + part.start()
        if not _SOLID.match(word):
            yield word[:MOST_LETTERS], at, at + len(word)
            continue
        # The last character stands alone too: so each of them begins a word.
        yield from ((word[i : i + 2], at + i, at + min(i + 2, len(word))) for i in range(len(word)))


def _aligned(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """`text` folded, and where in `text` each of its characters begins and ends."""
    if text.isascii():
        return _folded(text, _PARTING), range(len(text)), range(1, len(text) + 1)
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _clusters(text):
        piece = _cluster(text[start:end])
        folded.append(piece)
        starts += [start] * len(piece)
        ends += [end] * len(piece)
    return "".join(folded), starts, ends


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Characters together with what is composed with them."""
    start = 0
    for index in range(1, len(text)):
        if not _joins(text[index]):
            yield start, index
            start = index
    if text:
        yield start, len(text)


def _joins(char: str) -> bool:
    return char > "\u02ff" and (
        unicodedata.combining(char) > 0 or "\u1160" <= char <= "\u11ff" or char in "\uff9e\uff9f"
    )


@lru_cache(maxsize=8192)
def _cluster(text: str) -> str:
    return _folded(text, _PARTING)


def row_sentence(names: Sequence[str], values: Sequence[str]) -> str:
    """One line with each value behind its column's name; empty cells are left out."""
    cells = ((name, " ".join(value.split())) for name, value in zip(names, values, strict=False))
    return "; ".join(f"{name}: {value}" for name, value in cells if value)


def is_row(line: str) -> bool:
    """True for a line as `row_sentence` writes one of several cells: that is one sentence."""
    return _ROW.match(line) is not None
