"""How a module declares what it reads: sections of waystation.yaml, and files of its own."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of every settings model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


@dataclass(frozen=True, slots=True)
class Section:
    """A top-level key of waystation.yaml and the model that validates it."""

    name: str
    model: type[BaseModel]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of the configuration folder and the model that validates it.

    Args:
        kind: What the file lists, in the plural: "models", "servers", "sources".
        names: Names under which it may stand; the first that exists is read.
        model: Validates the whole parsed file. Its validators find
            `base` (the file's folder) in the validation context.
    """

    kind: str
    names: tuple[str, ...]
    model: type[BaseModel]
