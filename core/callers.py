"""The words of identity: what a user's id looks like, which scopes there are, how lists of words are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

USER_PATTERN = r"^[A-Za-z0-9_.@:|+-]{1,128}$"
WORD_PATTERN = r"^[^,\x00-\x1f\x7f]{1,128}$"
"""Groups and levels: no comma, so that headers can list them."""

Scope = Literal["use", "operate", "admin", "act_as", "*"]
SCOPES: frozenset[str] = frozenset({"use", "operate", "admin", "act_as", "*"})

_USER = re.compile(USER_PATTERN.strip("^$"))
_WORD = re.compile(WORD_PATTERN.strip("^$"))


def is_user(text: object) -> bool:
    """True when `text` may be the id of a user."""
    return isinstance(text, str) and _USER.fullmatch(text) is not None


def is_word(text: object) -> bool:
    """True when `text` may name a group or a level."""
    return isinstance(text, str) and _WORD.fullmatch(text) is not None


def words(value: Any) -> frozenset[str]:
    """Groups or levels as tokens and headers send them: a list, or text with commas.

    What cannot be such a word is left out: it could not match anything.
    """
    return frozenset(part for part in _parts(value, ",") if is_word(part))


def scopes_in(value: Any) -> frozenset[str]:
    """The scopes of ours among other words, such as the `openid profile` of a token."""
    return frozenset(_parts(value, r"[\s,]")) & SCOPES


def _parts(value: Any, separator: str) -> Iterable[str]:
    found = re.split(separator, value) if isinstance(value, str) else value
    if not isinstance(found, (list, tuple, set, frozenset)):
        return ()
    return [part.strip() for part in found if isinstance(part, str)]
