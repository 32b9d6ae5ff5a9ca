"""Tags of threads: short texts by which a person finds a thread again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement

from core.errors import InvalidInput
from graph.db.folding import folded_tags
from graph.db.tables import threads

MOST_TAGS = 20
TAG_LETTERS = 40


def checked_tags(tags: Sequence[str]) -> list[str]:
    """The tags as a thread keeps them: trimmed, each once, in their order.

    Raises:
        InvalidInput: There are more than 20, or one is empty, too long or no text to show.
    """
    found = list(dict.fromkeys(tag.strip() for tag in tags))
    if len(found) > MOST_TAGS:
        raise InvalidInput(f"a thread has at most {MOST_TAGS} tags (got {len(found)})")
    for tag in found:
        if not 1 <= len(tag) <= TAG_LETTERS:
            raise InvalidInput(f"tag '{tag[:60]}' has {len(tag)} characters; use 1 to {TAG_LETTERS}")
        if not tag.isprintable():
            raise InvalidInput("a tag has a character that cannot be shown; remove it")
    return found


def tagged(tag: str) -> ColumnElement[bool]:
    """True for threads that have this tag."""
    return threads.c.tags_folded.contains(folded_tags([tag]), autoescape=True)
