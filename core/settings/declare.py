"""How a module declares what it reads: sections of waystation.yaml, and files of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

Finding = tuple[tuple[str | int, ...], str, str]
"""Key path, message and remedy."""
Named = tuple[tuple[str | int, ...], str, str]
"""Key path, kind and name of a thing that is declared somewhere else: a model, an event, a module."""


class Listing(Protocol):
    """Things of one kind by name."""

    def entries(self) -> Mapping[str, Any]: ...

    def default(self) -> str: ...

    def names(self) -> Iterable[str]:
        """All that may be named, also what cannot be used."""
        ...


class Strict(BaseModel):
    """Base of every settings model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


@dataclass(frozen=True, slots=True)
class Section:
    """A top-level key of waystation.yaml and the model that validates it.

    Args:
        live: Keys that a running service takes over when the file changes;
            "*" for all. The others wait for a restart.
        review: As that of `ConfigFile`; key paths begin below the section.
        names: Given the section's value, the things that it names and that are declared elsewhere. Kinds are
            those of files (models, servers, sources), `modules`, `events` and `hooks`. `config validate`
            tells names that nothing has.
    """

    name: str
    model: type[BaseModel]
    live: tuple[str, ...] = ()
    review: Callable[[Any], Iterable[Finding]] | None = None
    names: Callable[[Any], Iterable[Named]] | None = None


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of the configuration folder and the model that validates it.

    Args:
        kind: What the file lists, in the plural: "models", "servers", "sources".
        names: Names under which it may stand; the first that exists is read.
        model: Validates the whole parsed file. Its validators find
            `base` (the file's folder), `environ` and `document` in the validation context.
        review: Given the whole `Book`, what only this machine can tell of a
            valid file, a command that is not installed, say: (key path,
            message, remedy) each. Asked by `config validate`; a start does not
            wait for it.
        listing: Given the whole `Book`, what this service has of the kind, the
            built-in ones included. May raise ConfigInvalid where files and
            sections contradict each other.
        live: True when a running service takes the file over when it changes.
        beside: Given the whole `Book`, further files that decide what there is
            of the kind, such as the manifests of plugins, also in folders that
            are not there yet; a reload looks at them too.
        own_variables: True when the model replaces variables itself, each part
            of the file by itself; it finds `environ` in the validation context.
    """

    kind: str
    names: tuple[str, ...]
    model: type[BaseModel]
    review: Callable[[Any], Iterable[Finding]] | None = None
    listing: Callable[[Any], Listing] | None = None
    live: bool = False
    beside: Callable[[Any], Iterable[Path]] | None = None
    own_variables: bool = False
