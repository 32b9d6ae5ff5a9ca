"""What a further attempt of a run says again, on wires that cannot take back what was said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class RepeatedText:
    """The text of one stream: after a crash it goes on where the attempt before broke off.

    A further attempt asks the model once more, and begins the text anew. As long as it says the same, only
    what is more is told. Where it says something else, that stands behind what was told, a line apart.
    """

    def __init__(self) -> None:
        self._said: list[str] = []
        self._before = self._held = ""

    def attempt_began(self) -> None:
        """An attempt begins: what has been said since the last call of a tool may be said again."""
        # Where the attempt before had not caught up either, what its own predecessor said is what was told.
        self._before = self._before or "".join(self._said)
        self._said, self._held = [], ""

    def tool_called(self) -> None:
        """A tool was called or has answered: the text before that is not said again."""
        self._said, self._before, self._held = [], "", ""

    def unsent(self, delta: str) -> str:
        """What of a piece is to be sent; empty where its reader has it."""
        if not self._before:
            self._said.append(delta)
            return delta
        self._held += delta
        if self._before.startswith(self._held):
            return ""
        same = self._held.startswith(self._before)
        more = self._held[len(self._before) :] if same else f"\n\n{self._held}"
        self._said, self._before, self._held = [self._before, more], "", ""
        return more


class WithoutRepeats:
    """The events of one stream, with what its reader has already left out of them."""

    def __init__(self) -> None:
        self._texts = {"token": RepeatedText(), "reasoning": RepeatedText()}

    def of(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The event as it is to be told; None where nothing of it is new."""
        kind = event["type"]
        if text := self._texts.get(kind):
            more = text.unsent(event["delta"])
            return event if more == event["delta"] else {**event, "delta": more} if more else None
        if kind == "run_started":
            self._each(RepeatedText.attempt_began)
        elif kind in {"tool_call", "tool_result"}:
            self.anew()
        return event

    def anew(self) -> None:
        """Another answer begins: what was said before is not said again."""
        self._each(RepeatedText.tool_called)

    def _each(self, change: Callable[[RepeatedText], None]) -> None:
        for text in self._texts.values():
            change(text)
