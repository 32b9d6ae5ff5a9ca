"""What is taken out of a document that is no text file: its parts, and what was not read of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_CHARS = 20_000_000
# A mailbox may have one for each of its messages; they stand in a line for people.
_MOST_NOTES = 20


class Unreadable(Exception):
    """A document that cannot be read; its message says why, in words for people and without its name."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a document.

    Args:
        path: The headings that it stands under, outermost first.
        where: Its page, sheet or slide, in words; "" where there is none.
        fragment: The same for an address (`page=3`, RFC 8118 for PDF).
    """

    text: str
    path: tuple[str, ...] = ()
    where: str = ""
    fragment: str = ""


@dataclass(slots=True)
class Extract:
    """The parts of a document in order, and notes of what is not among them; `chars` are in all parts."""

    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chars: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.chars = sum(len(part.text) for part in self.parts)

    def add(
        self, blocks: Iterable[str], path: Sequence[str] = (), where: str = "", fragment: str = ""
    ) -> None:
        """One more part of these paragraphs, if there is a word in them."""
        text = "\n\n".join(block for block in blocks if block.strip())
        if text:
            self.parts.append(Part(text, tuple(path), where, fragment))
            self.chars += len(text)

    def as_json(self) -> dict[str, Any]:
        parts = [[part.text, list(part.path), part.where, part.fragment] for part in self.parts]
        more = len(self.notes) - _MOST_NOTES
        notes = [*self.notes[:_MOST_NOTES], f"and {more} more like these"] if more > 0 else self.notes
        return {"parts": parts, "notes": notes}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Extract:
        parts = [Part(text, tuple(path), where, fragment) for text, path, where, fragment in said["parts"]]
        return cls(parts, list(said["notes"]))


def numbers(found: Sequence[int]) -> str:
    """1, 2, 3, 7 as `1-3, 7`."""
    runs: list[list[int]] = []
    for number in found:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
