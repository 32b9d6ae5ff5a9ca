"""What the event bus hears of greetings."""

from __future__ import annotations

from dataclasses import dataclass

from waystation import Event


@dataclass(frozen=True, slots=True)
class Greeted(Event):
    """Somebody was greeted, in a language ("" for the usual word)."""

    language: str
