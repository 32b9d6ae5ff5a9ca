"""What a running service takes over from a later reading, and what waits for a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from core.settings import Book, Section
from core.settings.loader import MAIN_FILE

EVERYTHING = "*"


def renewed(running: Book, found: Book) -> Book:
    """The running book with the live files and keys of the one that was found."""
    values = dict(running.values)
    for section in running.sections:
        values[section.model] = _section(section, running, found)
    for declared in running.files:
        if declared.live:
            values[declared.model] = found.values[declared.model]
    return replace(running, values=values, documents=found.documents, layers=found.layers)


def _section(section: Section, running: Book, found: Book) -> BaseModel:
    later = found.values[section.model]
    if EVERYTHING in section.live:
        return later
    return running.values[section.model].model_copy(update={key: getattr(later, key) for key in section.live})


def is_live(book: Book) -> Callable[[str], bool]:
    """Tells of a dotted key whether a running service takes it over."""
    kinds = {declared.kind for declared in book.files if declared.live}
    keys = {section.name: section.live for section in book.sections}

    def live(key: str) -> bool:
        part, _, rest = key.partition(".")
        named = keys.get(part, ())
        return part in kinds or EVERYTHING in named or rest.partition(".")[0] in named

    return live


def files_of(book: Book) -> Iterable[Path]:
    """Every file that decides about the configuration, whether it is there or not."""
    folder = book.context.places.config_dir
    yield folder / MAIN_FILE
    for declared in book.files:
        yield from (folder / name for name in declared.names)
        if declared.beside and declared.live:
            yield from declared.beside(book)
