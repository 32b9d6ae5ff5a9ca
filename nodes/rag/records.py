"""Documents that record what was: changelogs, decisions, minutes. Guides say how things are."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import PurePosixPath

from nodes.rag.terms import terms

_NAMES = frozenset(
    str.split(
        "adr adrs archive archived archives changelog changelogs changes decision decisions history minutes "
        "news rfc rfcs"
    )
)
# 0007-use-sqlite.md, as decisions are numbered.
_NUMBERED = re.compile(r"\d{3,4}-[^\W\d]")
_ASKED = frozenset(form for name in _NAMES for form in terms(name))


def is_record(document: str, wanted: Collection[str] = ()) -> bool:
    """True for a document that records the past, unless the question asks for such a thing."""
    return _records(document) and not _ASKED.intersection(wanted)


@lru_cache(maxsize=10_000)
def _records(document: str) -> bool:
    path = PurePosixPath(document)
    if any(folder.lower() in _NAMES for folder in path.parts[:-1]) or _NUMBERED.match(path.name):
        return True
    # A guide may be called history.md; a file in capitals, or one that is called a changelog, is none.
    name = path.stem.lower()
    return name in _NAMES if path.stem.isupper() else name in {"changelog", "changes", "news"}
