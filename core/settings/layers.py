"""The layers of the settings: file, then environment, then keyword overrides; the last one wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.settings.document import Document, at, has
from core.settings.environment import Environment
from core.settings.problems import GIVEN, ConfigProblem


@dataclass(frozen=True, slots=True)
class Layers:
    """What each layer says, so that a value or a problem can be traced to its origin.

    Args:
        document: waystation.yaml as it was read; None when there is none.
        file: Its known sections, variables replaced.
        environment: Values from variables.
        overrides: Values that a caller passed as keywords.
    """

    document: Document | None = None
    file: Mapping[str, Any] = field(default_factory=dict)
    environment: Environment = field(default_factory=Environment)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def merged(self) -> dict[str, Any]:
        """All layers as one; mappings are merged, anything else is replaced."""
        return _over(_over(dict(self.file), self.environment.data), self.overrides)

    def place(self, key: Sequence[str | int]) -> tuple[str, int | None]:
        """Where a problem at `key` has to be put right: (file or variable, line)."""
        if _holds(self.overrides, key):
            return GIVEN, None
        variable = self.environment.name(key) if _holds(self.environment.data, key) else None
        if variable:
            return f"environment variable {variable}", None
        return self.document.place(key) if self.document else (GIVEN, None)

    def written(self, key: Sequence[str | int]) -> Any:
        """The value as a person wrote it; None where it came from a variable or a keyword."""
        if _holds(self.overrides, key) or _holds(self.environment.data, key):
            return None
        return self.document.written(key) if self.document else None

    def origin(self, key: Sequence[str | int]) -> str:
        """Where the value of `key` comes from: a file and line, a variable, "keyword" or "default"."""
        if _holds(self.overrides, key):
            return "keyword"
        if _holds(self.environment.data, key):
            return self.environment.name(key) or "environment"
        if self.document and _holds(self.file, key):
            line = self.document.line(key)
            return f"{self.document.file}:{line}" if line else self.document.file
        return "default"

    def shape_problems(self) -> list[ConfigProblem]:
        """Sections that are no mapping in some layer; merging would hide them."""
        label, problems = "must be a mapping of keys to values", []
        for name, value in self.file.items():
            if not isinstance(value, dict) and self.document:
                problems.append(ConfigProblem(self.document.file, label, name, self.document.line((name,))))
        for name, value in self.overrides.items():
            if not isinstance(value, Mapping):
                problems.append(ConfigProblem(GIVEN, label, name))
        return problems


def _over(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in above.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _over(below, value) if both and isinstance(below, Mapping) else value
    return merged


def _holds(data: Any, key: Sequence[str | int]) -> bool:
    if not key:
        return False
    above = at(data, key[:-1])
    return has(above, key[-1])
