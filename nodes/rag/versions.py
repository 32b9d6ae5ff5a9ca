"""Which documents are versions of one another, and which of two is the current one, by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from core.words import fold

# 2023, 2023-05, 20230514; v2, v1.3, rev 4, version 2.
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)[._-]?(\d\d)?[._-]?(\d\d)?(?!\d)")
_NUMBER = re.compile(r"(?<![^\W_])(?:version|ver|rev|v)[ ._-]?(\d{1,3})(?:\.(\d{1,3}))?(?!\d)")
_OLD = frozenset(
    str.split(
        "alt archiv archive archived archives deprecated former legacy obsolete old outdated previous "
        "retired superseded veraltet"
    )
)
_NEW = frozenset(["aktuell", "current", "final", "latest", "neu", "new"])
_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Edition:
    """A document among its versions.

    Args:
        family: Its path without what tells a version; equal for all versions of one document.
        old: Its name, or a folder that it stands in, says that it is not in force any more.
        year: (year, month, day) of its name, as far as they stand there.
        number: (2, 1) for v2.1.
    """

    family: str
    old: bool = False
    new: bool = False
    year: tuple[int, ...] = ()
    number: tuple[int, ...] = ()


@lru_cache(maxsize=10_000)
def edition(document: str) -> Edition:
    """What the name of a document says of its version."""
    path = PurePosixPath(document)
    told = fold(str(path.with_suffix("") if path.suffix and not path.suffix[1:].isdecimal() else path))
    numbers = [tuple(int(n) for n in found.groups() if n) for found in _NUMBER.finditer(told)]
    years = [tuple(int(n) for n in found.groups() if n) for found in _YEAR.finditer(told)]
    words = _WORDS.findall(_YEAR.sub(" ", _NUMBER.sub(" ", told)).replace("_", " "))
    family = " ".join(word for word in words if word not in _OLD and word not in _NEW)
    return Edition(
        family,
        old=not _OLD.isdisjoint(words),
        new=not _NEW.isdisjoint(words),
        year=max(years, default=()),
        number=max(numbers, default=()),
    )


def is_newer(one: Edition, other: Edition, question: str = "") -> bool:
    """True where `one` is to be preferred to `other`; a version that the question names is, however old."""
    asked = set(_WORDS.findall(fold(question)))
    named = _named(one, asked), _named(other, asked)
    if named[0] != named[1]:
        return named[0]
    if one.old != other.old:
        return other.old
    if one.year != other.year:
        # policy.md beside policy-2023.md is the one that is kept up to date.
        return not one.year or (bool(other.year) and one.year > other.year)
    if one.number != other.number:
        return one.number > other.number
    return one.new and not other.new


def _named(edition: Edition, asked: set[str]) -> bool:
    year = bool(edition.year) and str(edition.year[0]) in asked
    number = bool(edition.number) and not asked.isdisjoint(
        {f"v{edition.number[0]}", f"version{edition.number[0]}"}
    )
    return year or number or (edition.old and not _OLD.isdisjoint(asked))
