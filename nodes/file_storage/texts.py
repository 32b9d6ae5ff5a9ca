"""The text of a file: its pages or lines, and which of them a question needs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from core.words import fold, unspaced

PIECE_CHARS = 1500
_PAGED = re.compile(r"(?:page|slide) (\d+)")
# Where a text is best cut, and how far from its end that may be.
_CUTS = ("\n\n", "\n", ". ", " ")
_SLACK = 400
_GAP = "[…]"
# BM25's own numbers: how much a further hit counts, and how much a long piece is held against it.
_K1, _B = 1.2, 0.75
Words = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Part:
    """A page, a sheet or a slide; `where` names it, "" for a text without such."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a part, as it is looked for and shown."""

    where: str
    text: str


@dataclass(frozen=True)
class Document:
    """What could be read of a file.

    Args:
        notes: What was not.
        reason: Why nothing could be read; "" where something was.
    """

    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""
    _folded: list[str] = field(default_factory=list, compare=False, repr=False)

    @cached_property
    def chars(self) -> int:
        return sum(len(part.text) for part in self.parts)

    @cached_property
    def unit(self) -> str:
        """What its parts are: "page", "slide", "part" or "line"."""
        named = [part.where for part in self.parts if part.where]
        if not named:
            return "line"
        return named[0].split()[0] if all(map(_PAGED.fullmatch, named)) else "part"

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(piece for part in self.parts for piece in _pieces(part))

    def whole(self) -> str:
        """All of it, each part under its name."""
        return "\n\n".join(f"[{part.where}]\n{part.text}" if part.where else part.text for part in self.parts)

    def scores(self, words: Words) -> list[float]:
        """How much each piece has to do with the words, by BM25 over beginnings of words. Takes time."""
        if not self._folded:
            self._folded.extend(f" {_spaced(piece.text)}" for piece in self.pieces)
        texts = self._folded
        mean = sum(map(len, texts)) / max(len(texts), 1) or 1.0
        totals = [0.0] * len(texts)
        for forms in words:
            counts = [sum(text.count(form) for form in _forms(forms)) for text in texts]
            have = sum(1 for count in counts if count)
            rarity = math.log(1 + (len(texts) - have + 0.5) / (have + 0.5))
            for at, count in enumerate(counts):
                if count:
                    length = 1 - _B + _B * len(texts[at]) / mean
                    totals[at] += rarity * count * (_K1 + 1) / (count + _K1 * length)
        return totals

    def matched(self, at: int, words: Words) -> int:
        """How many of the words the piece has. After `scores`."""
        return sum(any(form in self._folded[at] for form in _forms(forms)) for forms in words)

    def chosen(self, words: Words, chars: int) -> list[int]:
        """The pieces to be shown where only `chars` fit: how it begins, those for the words, what follows."""
        scores = self.scores(words)
        best = sorted((at for at, score in enumerate(scores) if score), key=lambda at: -scores[at])
        # How it begins says what it is, where that leaves room for what is asked.
        opening = [0] if self.pieces and 3 * len(self.pieces[0].text) < chars else []
        kept: set[int] = set()
        for at in [*opening, *best, *range(len(self.pieces))]:
            size = len(self.pieces[at].text) + len(self.pieces[at].where) + 8
            if at in kept or size > chars:
                continue
            kept.add(at)
            chars -= size
        return sorted(kept)

    def shown(self, places: Sequence[int]) -> str:
        """These pieces in their order, each under its name, with a mark where something is left out."""
        lines: list[str] = []
        before = -1
        for at in places:
            piece = self.pieces[at]
            if at != before + 1:
                lines.append(_GAP)
            if before < 0 or at != before + 1 or piece.where != self.pieces[before].where:
                lines.append(f"[{piece.where}]")
            lines.append(piece.text)
            before = at
        if places and before != len(self.pieces) - 1:
            lines.append(_GAP)
        return "\n".join(lines)

    def extent(self, places: Sequence[int]) -> str:
        """Which places these are, such as "pages 1-3, 7 of 120"."""
        if self.unit in ("page", "slide"):
            found = sorted({_number(self.pieces[at].where) for at in places})
            return f"{self.unit}s {ranges(found)} of {max(_number(p.where) for p in self.parts)}"
        names = list(dict.fromkeys(self.pieces[at].where for at in places))
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return f"{', '.join(names[:5])}{more}"

    def numbered(self) -> list[tuple[int, Part]]:
        """The parts with the numbers by which they are asked for: of pages and slides their own."""
        if self.unit in ("page", "slide"):
            return [(_number(part.where), part) for part in self.parts]
        return list(enumerate(self.parts, start=1))


def _number(where: str) -> int:
    found = _PAGED.fullmatch(where)
    return int(found.group(1)) if found else 0


def _spaced(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in fold(text)).split())


def _forms(forms: Sequence[str]) -> set[str]:
    """Beginnings of words to be counted. A stem that ends in i may stand for y: happi, happy."""
    found = set()
    for form in forms:
        spaced = _spaced(form)
        if spaced:
            bare = spaced[:-1] if len(spaced) > 3 and spaced.endswith("i") else spaced
            found.add(bare if unspaced(bare) else f" {bare}")
    return found


def _pieces(part: Part) -> Iterator[Piece]:
    at, line, text = 0, 1, part.text
    while at < len(text):
        end = _end(text, at)
        piece = text[at:end]
        lines = piece.count("\n")
        last = line + lines - (1 if piece.endswith("\n") else 0)
        if piece.strip():
            yield Piece(part.where or f"lines {line}-{max(last, line)}", piece.strip("\n"))
        line += lines
        at = end


def _end(text: str, start: int) -> int:
    end = start + PIECE_CHARS
    if end >= len(text):
        return len(text)
    for mark in _CUTS:
        at = text.rfind(mark, end - _SLACK, end)
        if at > start:
            return at + len(mark)
    return end


def ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as `1-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
