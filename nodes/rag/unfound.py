"""Why a search shows nothing, and what to try, in words for whoever asked.

Only what one may see is told of: words and passages are those of the index as one sees it.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.rag.models import Chunk

# Of the words that stand nowhere, so many are named.
_NAMED = 5

NO_WORDS = "there is no word in it to look for; name a thing, a title or a number"
EMPTY = "it has no passage that you may see; `waystation rag stats` says what its index holds"


def no_word_held(words: Sequence[str]) -> str:
    """No passage holds any of these."""
    return f"{_stand_nowhere(words)}; {_OTHER_WORDS}"


def too_little_said(nearest: Chunk, missing: Sequence[str]) -> str:
    """What is nearest says too little of what was asked.

    Args:
        missing: Words of the question that stand nowhere.
    """
    told = f"what is nearest to it, '{nearest.title}' in {nearest.document}, says too little of it"
    if missing:
        return f"{told}, and {_stand_nowhere(missing)}; {_OTHER_WORDS}"
    return f"{told}; try the words of the text, more of them, a name or a number"


_OTHER_WORDS = "try other words for it, or name them under `synonyms` of the source"


def _stand_nowhere(words: Sequence[str]) -> str:
    if not words:
        return "none of its words stands in what you may see"
    named = ", ".join(f"'{word}'" for word in words[:_NAMED])
    more = f" and {len(words) - _NAMED} more words" if len(words) > _NAMED else ""
    verb = "stands" if len(words) == 1 else "stand"
    return f"{named}{more} {verb} nowhere in what you may see"
