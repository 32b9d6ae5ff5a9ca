"""Who may see which documents of one source: the rules of its entry, and nothing else, decide.

A rule says whose the documents of a path are. Each rule that matches a document has to be
met, so a further rule never opens anything. The rules are looked at when somebody asks:
the index knows nothing of them, and changed rules hold for the next question.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import PurePath
from typing import Protocol

from core.access import Principal

Shown = Callable[[str], bool]
"""Whether a document may be shown, by its name."""
# Names of documents whose rules are kept in mind.
_REMEMBERED = 200_000
_SIGNS = re.compile(r"[*?\[]")
# One character as people see it: with its accents, and without case an `ß` is two letters.
_ONE = "(?:[^/]|ss)[\u0300-\u036f]*"


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
        root_of: By which of them a document was found; "" where that is not known.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        roots: Callable[[], Sequence[str]] = tuple,
        root_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._rules = [(_pattern(rule.path), frozenset(rule.groups)) for rule in rules]
        self._paths = [rule.path for rule in rules]
        self._roots = roots
        self._root_of = root_of
        self._beside_globs: Mapping[str, Sequence[str]] = {}
        self._known_roots: Sequence[str] | None = None
        self._before: Sequence[re.Pattern[str]] = ()
        self._matching: dict[tuple[str, str], frozenset[int]] = {}

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
            self._beside_globs = _beside_globs(roots)
        root = self._root_of(document) if self._beside_globs else ""
        known = self._matching.get((document, root))
        if known is None:
            names = list(self._names(document, root))
            found = (n for n, (pattern, _) in enumerate(self._rules) if any(map(pattern.fullmatch, names)))
            known = self._matching[document, root] = frozenset(found)
        return known

    def _names(self, document: str, root: str) -> Iterator[str]:
        """What a rule may call a document."""
        own = _plain(document.replace("\\", "/"))
        # Of one whose folder is not known, what it would be called in each: that hides more.
        roots = [root] if root else list(self._beside_globs)
        folders = dict.fromkeys(folder for each in roots for folder in self._beside_globs.get(each, ()))
        names = [own, *(f"{_plain(folder)}/{own}" for folder in folders)]
        for name in names:
            yield name
            matches = (before.match(name) for before in self._before)
            shorter = {name[match.end() :] for match in matches if match}
            names += sorted(shorter.difference(names))


def cleaned(path: str) -> str:
    """A path of a rule as it is compared: below the folders of the source, without a slash at either end."""
    return "/".join(part for part in _plain(path.replace("\\", "/")).split("/") if part not in ("", "."))


def _plain(name: str) -> str:
    """File systems write the same name in several ways; case does not count, so that no rule is missed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _pattern(path: str) -> re.Pattern[str]:
    """What a path means: `*` is anything, over folders too, and a folder is all below it."""
    first, *rest = re.split(r"(\*\*/|\*+)", cleaned(path))
    stars, texts = rest[::2], rest[1::2]
    said = [_meant(first)]
    for star, text, following in zip(stars, texts, [*stars[1:], ""], strict=False):
        any_start = "(?:.*?/)??" if star == "**/" else ".*?"
        # The first place that fits will do where anything may follow: else many stars take for ever.
        once = "?" not in text and following.startswith("*") and following != "**/"
        said.append(f"(?{'>' if once else ':'}{any_start}{_meant(text)})")
    return re.compile(rf"{''.join(said)}(?:/.*)?", re.DOTALL)


def _meant(text: str) -> str:
    return "".join(_ONE if part == "?" else re.escape(part) for part in re.split(r"(\?)", text))


def _leading(roots: Sequence[str]) -> Sequence[re.Pattern[str]]:
    """What may stand before a document's own name: it was taken already, or a root is inside another."""
    written = {path for root in roots for path in (os.path.abspath(root), os.path.realpath(root))}
    found = {part for path in written for part in _folder_names(path)}
    found |= {part for path in written for part in _below_others(PurePath(path), map(PurePath, written))}
    return [re.compile(rf"{re.escape(name)}(?:-\d+)?/") for name in sorted(map(_plain, found))]


def _beside_globs(roots: Sequence[str]) -> dict[str, list[str]]:
    """The roots below the folder of a glob, as `p/hr` beside `p/*.md`, and where they are in that folder."""
    outer = {path for root in roots if _SIGNS.search(root) for path in _places(root)}
    found = {
        root: [
            inner.relative_to(folder).as_posix()
            for inner in _places(root)
            for folder in outer
            if folder in inner.parents
        ]
        for root in roots
    }
    return {root: folders for root, folders in found.items() if folders}


def _places(root: str) -> list[PurePath]:
    """The folder of a root, as far as it is written outright, and what its links lead to."""
    written = PurePath(os.path.abspath(root))
    folder = PurePath(*takewhile(lambda part: not _SIGNS.search(part), written.parts))
    if folder == written and os.path.isfile(folder):
        folder = folder.parent
    return list(dict.fromkeys([folder, PurePath(os.path.realpath(folder))]))


def _below_others(path: PurePath, others: Iterable[PurePath]) -> Iterator[str]:
    """Where a root is in others, which name its documents, as far as that is written outright."""
    inner = PurePath(*takewhile(lambda part: not _SIGNS.search(part), path.parts))
    for outer in others:
        if outer in inner.parents:
            yield inner.relative_to(outer).as_posix()


def _folder_names(root: str) -> Iterator[str]:
    """The last folders of a root, one of which stands before names that are taken already."""
    path = PurePath(root)
    yield from (part for part in (path.name, path.parent.name) if part)
    parts = path.parts
    magic = next((n for n, part in enumerate(parts) if _SIGNS.search(part)), 0)
    if magic:
        yield parts[magic - 1]
