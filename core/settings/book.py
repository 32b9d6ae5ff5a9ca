"""Everything that was read at start, found by the type that validated it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from core.settings.declare import ConfigFile, Section
from core.settings.document import Document
from core.settings.layers import Layers
from core.settings.loader import Context, load_file, load_sections
from core.settings.problems import ConfigErrors, ConfigProblem

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Book:
    """The settings of a service: `book[LLMSettings]`, `book[ModelsFile]`.

    `documents` are the files that were found, by kind ("waystation" is the main
    one); `layers` tell where a section's value came from.
    """

    context: Context
    values: dict[type[BaseModel], BaseModel]
    documents: dict[str, Document]
    sections: tuple[Section, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    layers: Layers = field(default_factory=Layers)

    def __getitem__(self, model: type[M]) -> M:
        found: Any = self.values[model]
        return found  # type: ignore[no-any-return]  # values maps each type to its own instance


def read_book(
    sections: Sequence[Section],
    files: Sequence[ConfigFile],
    context: Context,
    *,
    partial: bool = False,
) -> Book:
    """Read and validate everything that is declared.

    Raises:
        ConfigErrors: With every problem of every file at once.
    """
    book, problems = inspect_book(sections, files, context, partial=partial)
    if problems:
        raise ConfigErrors(problems)
    return book


def inspect_book(
    sections: Sequence[Section],
    files: Sequence[ConfigFile],
    context: Context,
    *,
    partial: bool = False,
) -> tuple[Book, list[ConfigProblem]]:
    """Like `read_book`, with the problems given back instead of raised.

    What has problems is missing from the book's values.
    """
    by_name, problems, layers = load_sections(sections, context, partial=partial)
    values = {section.model: by_name[section.name] for section in sections if section.name in by_name}
    documents = {"waystation": layers.document} if layers.document else {}
    for declared in files:
        value, found, document = load_file(declared, context)
        problems = [*problems, *found]
        if value is not None:
            values[declared.model] = value
        if document:
            documents[declared.kind] = document
    return Book(context, values, documents, tuple(sections), tuple(files), layers), problems
