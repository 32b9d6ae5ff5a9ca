"""Texts that end an answer, held to here: an endpoint may not know them, and another model may answer."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Cuts a text that comes in pieces before the first of these.

    Attributes:
        met: One has come; nothing more goes out.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text for text in texts if text]
        self._held = ""
        self.met = False

    def feed(self, text: str) -> str:
        """What can go out by now: what may be the beginning of a stop is held back."""
        if self.met or not text:
            return ""
        text = self._held + text
        places = [place for stop in self._texts if (place := text.find(stop)) >= 0]
        if places:
            self.met, self._held = True, ""
            return text[: min(places)]
        kept = max((_begun(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """What was held back, now that nothing more comes."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of the stop."""
    most = min(len(text), len(stop) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(stop[:size])), 0)
