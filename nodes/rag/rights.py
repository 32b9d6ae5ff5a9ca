"""Who may see which documents of one source: the rules of its entry, and nothing else, decide.

A rule says whose the documents of a path are. Each rule that matches a document has to be
met, so a further rule never opens anything. The rules are looked at when somebody asks:
the index knows nothing of them, and changed rules hold for the next question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Protocol

from core.access import Principal

Shown = Callable[[str], bool]
"""Whether a document may be shown, by its name."""
# Names of documents whose rules are kept in mind.
_REMEMBERED = 200_000


class Rule(Protocol):
    """Documents of a path, and the groups that may see them."""

    @property
    def path(self) -> str: ...

    @property
    def groups(self) -> list[str]: ...


class Rights:
    """The rules of one source.

    Args:
        roots: Gives the folders, files and globs of the source: a document of a second folder may have
            the name of its folder before its own, and rules hold for its own name too.
    """

    def __init__(self, rules: Sequence[Rule], roots: Callable[[], Sequence[str]] = tuple) -> None:
        self._rules = [(_pattern(rule.path), frozenset(rule.groups)) for rule in rules]
        self._paths = [rule.path for rule in rules]
        self._roots = roots
        self._known_roots: Sequence[str] | None = None
        self._before: re.Pattern[str] | None = None
        self._matching: dict[str, frozenset[int]] = {}

    def unmet(self, principal: Principal) -> frozenset[int]:
        """The rules that keep something from the user; callers with the same ones see the same."""
        return frozenset(
            n for n, (_, groups) in enumerate(self._rules) if principal.groups.isdisjoint(groups)
        )

    def shown(self, unmet: frozenset[int]) -> Shown:
        """Which documents one may see who does not meet these rules."""
        return lambda document: self.matching(document).isdisjoint(unmet)

    @property
    def anybody(self) -> Shown:
        """Which documents everyone may see who may use the source."""
        return self.shown(frozenset(range(len(self._rules))))

    def idle(self, documents: Sequence[str]) -> list[str]:
        """The paths of rules that match none of `documents`: each may be written wrong."""
        used = {n for document in documents for n in self.matching(document)}
        return [path for n, path in enumerate(self._paths) if n not in used]

    def matching(self, document: str) -> frozenset[int]:
        """The rules of a document."""
        if (roots := self._roots()) != self._known_roots or len(self._matching) >= _REMEMBERED:
            self._known_roots, self._before, self._matching = roots, _leading(roots), {}
        known = self._matching.get(document)
        if known is None:
            names = list(self._names(document))
            found = (n for n, (pattern, _) in enumerate(self._rules) if any(map(pattern.fullmatch, names)))
            known = self._matching[document] = frozenset(found)
        return known

    def _names(self, document: str) -> Iterator[str]:
        """What a rule may call a document."""
        name = _plain(document)
        yield name
        own = self._before.match(name) if self._before else None
        if own is not None:
            yield name[own.end() :]


def cleaned(path: str) -> str:
    """A path of a rule as it is compared: below the folders of the source, without a slash at either end."""
    return _plain(path.replace("\\", "/")).removeprefix("./").strip("/")


def _plain(name: str) -> str:
    """File systems write the same name in several ways; case does not count, so that no rule is missed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _pattern(path: str) -> re.Pattern[str]:
    """What a path means: `*` is anything, over folders too, and a folder is all below it."""
    parts = re.split(r"(\*\*/|\*+|\?)", cleaned(path))
    meant = {"**/": "(?:.*/)?", "?": "[^/]"}
    said = (".*" if part and not part.strip("*") else meant.get(part, re.escape(part)) for part in parts)
    return re.compile(rf"{''.join(said)}(?:/.*)?", re.DOTALL)


def _leading(roots: Sequence[str]) -> re.Pattern[str] | None:
    """The names of folders that stand before a document's own, where that was taken already."""
    names = {_plain(part) for root in roots for part in _folder_names(root)}
    return re.compile(rf"(?:{'|'.join(map(re.escape, names))})(?:-\d+)?/") if names else None


def _folder_names(root: str) -> Iterator[str]:
    """The last folders of a root, one of which stands before names that are taken already."""
    path = PurePath(root)
    yield from (part for part in (path.name, path.parent.name) if part)
    parts = path.parts
    magic = next((n for n, part in enumerate(parts) if any(sign in part for sign in "*?[")), 0)
    if magic:
        yield parts[magic - 1]
