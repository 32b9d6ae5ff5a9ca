"""The service of this module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from waystation import Event, NotFound
from waystation_greeter.events import Greeted


class UnknownLanguage(NotFound):
    """There is no word in this language."""

    code = "greeter_unknown_language"
    title = "No greeting in this language"


class Greeter:
    """Greets people, and says so on the event bus.

    Args:
        word: Said before the name.
        words: The same by language.
    """

    def __init__(
        self, word: str, words: Mapping[str, str], *, publish: Callable[[Event], None] = lambda _: None
    ) -> None:
        self._words = {"": word, **words}
        self._publish = publish

    @property
    def languages(self) -> list[str]:
        """The languages that it has a word in."""
        return sorted(self._words.keys() - {""})

    def greet(self, name: str, *, language: str = "") -> str:
        """The greeting of a person.

        Raises:
            UnknownLanguage: There is no word in this language.
        """
        word = self._words.get(language)
        if word is None:
            raise UnknownLanguage(
                f"no greeting in '{language}'; known: {', '.join(self.languages) or 'none'}"
            )
        self._publish(Greeted(language))
        return f"{word}, {name}!"


class Tally:
    """Counts greetings: a subscriber of the event bus."""

    def __init__(self) -> None:
        self.greeted = 0

    async def count(self, _: Greeted) -> None:
        self.greeted += 1
