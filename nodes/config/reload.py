"""What a restart would change, and what a running service takes over of a later reading.

At its start the service leaves a snapshot in WAYSTATION_HOME. Secrets stand in
it only as keyed digests, which tell that one has changed and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.settings import Book, Section
from core.settings.loader import MAIN_FILE
from core.settings.problems import HIDDEN
from nodes.config.view import Hide, settings_of

FILE_NAME = "config-loaded.json"
EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All values of one reading by key, as JSON text; `taken` is an ISO time."""

    values: Mapping[str, str]
    salt: str
    taken: str = ""

    @classmethod
    def of(cls, book: Book, *, salt: str = "") -> Snapshot:
        salt = salt or secrets.token_hex(16)
        hide = _digest(salt)
        values = {s.key: json.dumps(s.value, sort_keys=True) for s in settings_of(book, hide)}
        return cls(values, salt, datetime.now(UTC).isoformat(timespec="seconds"))

    def save(self, home: Path) -> None:
        """Keep it for `reload-check`, readable by the owner alone."""
        path = home / f"{FILE_NAME}.{os.getpid()}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"values": self.values, "salt": self.salt, "taken": self.taken}, file)
        path.replace(home / FILE_NAME)

    @classmethod
    def load(cls, home: Path) -> Snapshot | None:
        """The last one saved, or None when there is none that can be read."""
        try:
            data = json.loads((home / FILE_NAME).read_text(encoding="utf-8"))
            return cls(dict(data["values"]), str(data["salt"]), str(data["taken"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _digest(salt: str) -> Hide:
    def hide(secret: str) -> str:
        if not secret:
            return ""
        digest = hmac.new(salt.encode(), secret.encode(errors="replace"), hashlib.sha256)
        return f"{HIDDEN}{digest.hexdigest()[:16]}"

    return hide


@dataclass(frozen=True, slots=True)
class Change:
    """One key that differs; None where it is not there. Secrets read ***."""

    key: str
    old: Any
    new: Any


def changes(old: Snapshot, book: Book) -> list[Change]:
    """What differs between a snapshot and a later reading, in the order of the later one."""
    new = Snapshot.of(book, salt=old.salt).values
    pairs = {key: (old.values.get(key), new.get(key)) for key in [*new, *old.values]}
    return [Change(key, _shown(was), _shown(now)) for key, (was, now) in pairs.items() if was != now]


def changed_keys(old: Snapshot, book: Book) -> list[str]:
    """The keys that differ; an entry that came or went as a whole is named once, without its keys."""
    both = {_entry(key) for key in old.values} & {_entry(each.key) for each in settings_of(book)}
    keys = [change.key for change in changes(old, book)]
    return list(dict.fromkeys(key if _entry(key) in both else _entry(key) for key in keys))


def _entry(key: str) -> str:
    return ".".join(key.split(".")[:2])


def _shown(text: str | None) -> Any:
    return None if text is None else _without_digest(json.loads(text))


def _without_digest(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_digest(item) for item in value]
    if isinstance(value, str) and HIDDEN in value:
        return value[: value.index(HIDDEN)] + HIDDEN
    return value


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
