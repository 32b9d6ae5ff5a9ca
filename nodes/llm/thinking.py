"""Reasoning that a model writes into its text, between tags at the very start."""

from __future__ import annotations

import re

_TAGS = ("think", "thinking", "thought", "reasoning")
_OPEN = re.compile(rf"\s*<({'|'.join(_TAGS)})>")
# Blank text before a tag that is waited for; more is an answer of blanks.
_MOST_BLANK = 200
_LONGEST = max(map(len, _TAGS)) + 2


class ThinkSplit:
    """Tells reasoning from text while both come in pieces; a tag may be cut anywhere.

    Only a tag at the very start counts: a model may write about tags later on.
    Reasoning that is never closed stays reasoning.
    """

    def __init__(self) -> None:
        self._held = ""
        self._close = ""
        self._state = "start"

    def feed(self, text: str) -> tuple[str, str]:
        """The text and the reasoning that are sure by now."""
        if self._state == "text":
            return text, ""
        self._held += text
        if self._state == "start" and not self._opened():
            return self._passed()
        if self._state == "reasoning":
            return self._inside()
        return self._behind()

    def end(self) -> tuple[str, str]:
        """What was held back, now that nothing more comes."""
        held, self._held = self._held, ""
        if self._state == "behind":
            return "", ""
        return ("", held) if self._state == "reasoning" else (held, "")

    def _opened(self) -> bool:
        found = _OPEN.match(self._held)
        if not found:
            return False
        self._close = f"</{found.group(1)}>"
        self._held = self._held[found.end() :]
        self._state = "reasoning"
        return True

    def _passed(self) -> tuple[str, str]:
        """No tag so far: held back only while it may still become one."""
        begun = self._held.lstrip()
        blank = not begun and len(self._held) < _MOST_BLANK
        if blank or (begun and len(begun) < _LONGEST and any(f"<{tag}>".startswith(begun) for tag in _TAGS)):
            return "", ""
        text, self._held, self._state = self._held, "", "text"
        return text, ""

    def _inside(self) -> tuple[str, str]:
        thought, tag, rest = self._held.partition(self._close)
        if tag:
            self._held, self._state = rest, "behind"
            text, _ = self._behind()
            return text, thought
        # The end of what came may be the beginning of the tag.
        at = thought.rfind("<", -len(self._close) + 1)
        kept = thought[at:] if at >= 0 and self._close.startswith(thought[at:]) else ""
        self._held = kept
        return "", thought[: len(thought) - len(kept)]

    def _behind(self) -> tuple[str, str]:
        """Space between the reasoning and the answer belongs to neither."""
        text, self._held = self._held.lstrip(), ""
        if text:
            self._state = "text"
        return text, ""
