"""The effective configuration for people: every value, secrets masked, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, RootModel, SecretBytes, SecretStr

from core.settings import Book, Document
from core.settings.problems import HIDDEN, KeyPath, dotted, redacted, sounds_secret

Hide = Callable[[str], str]
_SECRET_FLAG = re.compile(r"^--?[\w-]*(key|token|secret|password)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Setting:
    """One value. `origin` is a file and line, a variable, "keyword" or "default"."""

    path: KeyPath
    value: Any
    origin: str

    @property
    def key(self) -> str:
        return dotted(self.path)


def hidden(secret: str) -> str:
    """What people see of a secret: whether there is one."""
    return HIDDEN if secret else ""


def dump(model: BaseModel, path: KeyPath = (), hide: Hide = hidden) -> Any:
    """A model as JSON values, each secret replaced by what `hide` makes of it."""
    return _plain(model.model_dump(mode="python", by_alias=True), path, hide)


def _plain(value: Any, path: KeyPath, hide: Hide) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(below, (*path, str(key)), hide) for key, below in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return _items(list(value), path, hide)
    if isinstance(value, (SecretStr, SecretBytes)):
        return hide(str(value.get_secret_value()))
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 600 and 600.0 are one value to people
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _text(str(value), path, hide)


def _text(text: str, path: KeyPath, hide: Hide) -> str:
    if sounds_secret(path):
        return hide(text)
    shown = redacted(text)
    return shown if shown == text else f"{shown}{hide(text).removeprefix(HIDDEN)}"


def _items(values: list[Any], path: KeyPath, hide: Hide) -> list[Any]:
    """A list; the word after `--token` and its like is a secret too."""
    shown = []
    for index, value in enumerate(values):
        flag = values[index - 1] if index else ""
        secret = isinstance(value, str) and isinstance(flag, str) and _SECRET_FLAG.match(flag)
        shown.append(hide(value) if secret else _plain(value, (*path, index), hide))
    return shown


def settings_of(book: Book, hide: Hide = hidden) -> list[Setting]:
    """Every value of every section and file; lists count as one value."""
    found: list[Setting] = []
    for section in book.sections:
        if section.model in book.values:
            data = dump(book[section.model], (section.name,), hide)
            found += [
                Setting(path, v, book.layers.origin(path)) for path, v in _leaves(data, (section.name,))
            ]
    for declared in book.files:
        if declared.model in book.values:
            document = book.documents.get(declared.kind)
            data = dump(book[declared.model], (), hide)
            around = _wrapped(declared.model)
            found += [
                Setting((declared.kind, *path[around:]), value, _origin(document, path))
                for path, value in _leaves(data, ())
            ]
    return found


def _leaves(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _leaves(value, (*path, key))
    elif path and data != {}:
        yield path, data


def _wrapped(model: type[BaseModel]) -> int:
    """1 for a file whose entries stand under its only key: `models.models.x` would say it twice."""
    return int(len(model.model_fields) == 1 and not issubclass(model, RootModel))


def _origin(document: Document | None, path: KeyPath) -> str:
    for written in (path, path[1:]):  # a flat file has no key around its entries
        if document and written in document.lines:
            return f"{document.file}:{document.lines[written]}"
    return "default"
