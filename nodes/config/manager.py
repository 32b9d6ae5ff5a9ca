"""Everything the service was configured with, for those who ask about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from core.errors import ConfigInvalid
from core.health import Health, degraded, healthy
from core.settings import Book, ConfigErrors, ConfigFile, ConfigProblem, Section, inspect_book, nearest
from core.settings.declare import Listing
from core.settings.editors import for_editors
from core.settings.loader import MAIN_FILE
from core.settings.problems import KeyPath, dotted, printable
from nodes.config.errors import UnknownPart
from nodes.config.reload import Change, Snapshot, changes
from nodes.config.view import Setting, dump, settings_of

T = TypeVar("T")
_NOTHING: Mapping[str, Iterable[str]] = {}


@dataclass(frozen=True, slots=True)
class FileReport:
    """A configuration file: what it is, whether it was read, and which other names were passed over."""

    kind: str
    name: str
    read: bool
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model as `list-models` shows it; `settings` are its entry in the file, secrets masked."""

    name: str
    default: bool
    description: str
    groups: tuple[str, ...]
    settings: Mapping[str, Any]


class ConfigManager:
    """Sections and files of one reading.

    Args:
        book: What was read; what had problems is missing from it.
        sections: The sections that are known.
        files: The files that are known.
    """

    def __init__(self, book: Book, sections: Sequence[Section], files: Sequence[ConfigFile]) -> None:
        self._book = book
        self._sections = {section.name: section for section in sections}
        self._files = {file.kind: file for file in files}
        self._snapshot: Snapshot | None = None

    def section(self, name: str) -> BaseModel:
        """The settings of a section, by its key in waystation.yaml.

        Raises:
            UnknownPart: There is no such section.
        """
        return self._book[_one(self._sections, name).model]

    def file(self, kind: str) -> BaseModel:
        """What a file holds, by its kind: models, servers, sources.

        Raises:
            UnknownPart: There is no such file.
        """
        return self._book[_one(self._files, kind).model]

    def describe(self) -> list[FileReport]:
        """The files of the configuration, and which of them were read."""
        folder = self._book.context.places.config_dir
        reports = []
        for kind, names in self._names():
            document = self._book.documents.get(kind)
            ignored = [n for n in names if document and n != document.file and (folder / n).exists()]
            reports.append(
                FileReport(kind, document.file if document else names[0], bool(document), tuple(ignored))
            )
        return reports

    def settings(self, part: str = "") -> list[Setting]:
        """Every value with its origin, secrets masked; of one section or file when `part` is given.

        Raises:
            UnknownPart: There is no such section or file.
        """
        if part:
            _one(self._parts(), part)
        return [s for s in settings_of(self._book) if not part or s.path[0] == part]

    def view(self) -> dict[str, Any]:
        """The effective configuration as JSON, secrets masked."""
        return {
            name: dump(self._book[p.model], (name,))
            for name, p in self._parts().items()
            if self._has(p.model)
        }

    def models(self) -> list[ModelReport]:
        """The models that the configuration names, and the built-in ones where their module tells.

        Raises:
            ConfigInvalid: The default model is none of them.
        """
        declared = _one(self._files, "models")
        configured: dict[str, Any] = dump(self.file("models")).get("models", {})
        if declared.listing is None:
            return [_report(name, {}, configured, "") for name in configured]
        listing = declared.listing(self._book)
        return [
            _report(name, entry, configured, listing.default()) for name, entry in listing.entries().items()
        ]

    def schemas(self, part: str = "") -> dict[str, dict[str, Any]]:
        """JSON Schema for editors by section and kind of file, and of waystation.yaml as a whole.

        Raises:
            UnknownPart: There is no such section or file.
        """
        found = {name: for_editors(p.model.model_json_schema()) for name, p in self._parts().items()}
        fields: dict[str, Any] = {
            n: (s.model, Field(default_factory=s.model)) for n, s in self._sections.items()
        }
        whole = create_model("Waystation", __config__=ConfigDict(extra="forbid"), **fields)
        found["waystation"] = for_editors(whole.model_json_schema())
        return {part: _one(found, part)} if part else found

    def reread(self) -> tuple[Book, list[ConfigProblem]]:
        """What the same places hold now, and everything that is wrong with it."""
        book, problems = inspect_book(
            list(self._sections.values()), list(self._files.values()), self._book.context
        )
        return book, problems

    def review(self, known: Mapping[str, Iterable[str]] = _NOTHING) -> list[ConfigProblem]:
        """What stands in no schema: a command that is not installed, a name that nothing has.

        Args:
            known: Names of things that no file lists, by their kind; of a kind that is left out all are.
        """
        found = [problem for declared in self._files.values() for problem in self._findings(declared)]
        names = {**{kind: list(each) for kind, each in known.items()}, **self._listed()}
        for section in self._sections.values():
            if self._has(section.model):
                found += self._of_section(section, names)
        return found

    def _listed(self) -> dict[str, list[str]]:
        """The names that files list, by kind; without those of files that cannot be read as a whole."""
        names: dict[str, list[str]] = {}
        for kind, declared in self._files.items():
            if not self._has(declared.model):
                continue
            if declared.listing is None:
                found = getattr(self._book[declared.model], kind, None)
            elif len(self._book.values) == len(self._parts()):
                found = self._names_in(declared.listing)
            else:
                continue
            # What another's module does not list by its kind, and what has no names, is not judged.
            if found is not None:
                names[kind] = sorted(found)
        return names

    def _names_in(self, listing: Callable[[Book], Listing]) -> Iterable[str] | None:
        with suppress(ConfigInvalid):
            names = getattr(listing(self._book), "names", None)  # one of the release before has none
            return names() if names else None
        return None

    def _of_section(self, section: Section, names: Mapping[str, Sequence[str]]) -> Iterator[ConfigProblem]:
        for path, message, remedy in section.review(self._book) if section.review else ():
            yield self._problem((section.name, *path), message, remedy)
        for path, kind, name in section.names(self._book[section.model]) if section.names else ():
            if kind in names and name not in names[kind]:
                near = nearest(name, names[kind])
                all_of_them = f"{kind}: {', '.join(names[kind]) or 'none'}"
                remedy = f"did you mean '{near}'?" if near else all_of_them
                message = f"there is no {kind.removesuffix('s')} '{printable(name)}'"
                yield self._problem((section.name, *path), message, remedy)

    def _problem(self, path: KeyPath, message: str, remedy: str) -> ConfigProblem:
        file, line = self._book.layers.place(path)
        return ConfigProblem(file, message, dotted(path), line, None, remedy)

    def loaded(self) -> Snapshot:
        """What this process runs with, to compare a later reading with."""
        if self._snapshot is None:
            self._snapshot = Snapshot.of(self._book)
        return self._snapshot

    async def check(self) -> Health:
        """Degraded when the files on disk no longer validate: the next start would fail."""
        book, problems = await asyncio.to_thread(self.reread)
        files = {report.kind: report.name if report.read else None for report in self.describe()}
        if problems:
            count = "one problem" if len(problems) == 1 else f"{len(problems)} problems, the first"
            reason = f"the files no longer validate and the next start would fail; {count}: {problems[0]}"
            return degraded(reason, files=files)
        pending: list[Change] = await asyncio.to_thread(changes, self.loaded(), book)
        return healthy(files=files, changed_since_start=[change.key for change in pending[:50]])

    def _findings(self, declared: ConfigFile) -> Iterator[ConfigProblem]:
        document = self._book.documents.get(declared.kind)
        name = document.file if document else declared.names[0]
        if declared.review and self._has(declared.model):
            for path, message, remedy in declared.review(self._book):
                line = document.line(path) if document else None
                yield ConfigProblem(name, message, dotted(path), line, None, remedy)
        if declared.listing and len(self._book.values) == len(self._parts()):
            try:
                declared.listing(self._book)
            except ConfigErrors as error:
                yield from error.problems
            except ConfigInvalid as error:
                yield ConfigProblem(name, error.detail)

    def _names(self) -> list[tuple[str, tuple[str, ...]]]:
        return [("waystation", (MAIN_FILE,)), *((kind, f.names) for kind, f in self._files.items())]

    def _parts(self) -> dict[str, Section | ConfigFile]:
        return {**self._sections, **self._files}

    def _has(self, model: type[BaseModel]) -> bool:
        return model in self._book.values


def _one(parts: Mapping[str, T], name: str) -> T:
    if name in parts:
        return parts[name]
    near = nearest(name, parts)
    hint = f"did you mean '{near}'?" if near else f"known: {', '.join(parts)}"
    raise UnknownPart(f"no section or file '{name}'; {hint}")


def _report(name: str, entry: Any, configured: Mapping[str, Any], default: str) -> ModelReport:
    settings = configured.get(name, {})
    description = getattr(entry, "description", None) or settings.get("description") or ""
    groups = getattr(entry, "groups", None) or settings.get("groups") or ()
    return ModelReport(name, name == default, description, tuple(groups), settings)
