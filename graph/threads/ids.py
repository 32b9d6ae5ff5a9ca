"""Ids of threads, runs and messages: what they may look like, and new ones."""

from __future__ import annotations

import re
import secrets

from graph.errors import InvalidThreadId

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_id(value: object) -> bool:
    """True for 1 to 64 of A-Z a-z 0-9 _ -."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def check_id(value: str) -> str:
    """The id itself.

    Raises:
        InvalidThreadId: It is not 1 to 64 of A-Z a-z 0-9 _ -.
    """
    if not is_id(value):
        raise InvalidThreadId(f"'{value[:80]}' is not a valid id; use 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def new_id(prefix: str) -> str:
    """A fresh id that tells nothing: 16 random bytes behind a letter."""
    return f"{prefix}_{secrets.token_hex(16)}"
