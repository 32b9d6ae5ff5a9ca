"""`${…}` as editors and command lines write it: variables of the environment, inputs, folders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.settings.tree import is_unicode

# A default ends before the next reference, so that an unfinished one is not read again from each.
_REFERENCE = re.compile(r"\$\{(?:([A-Za-z]+):(?!-))?([^}:${]*)(?::-((?:[^}$]|\$(?!\{))*))?\}")
_WHOLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_PER_USER = re.compile(r"\{\{ ?([A-Z][A-Z0-9_]*) ?\}\}")
_NOT_WORD = re.compile(r"[^A-Z0-9]")


def input_variable(name: str) -> str:
    """The variable of the environment that gives the input `name` of a VS Code file its value."""
    return f"MCP_INPUT_{_NOT_WORD.sub('_', name.upper())}"


@dataclass(slots=True)
class Variables:
    """Where values come from, and in `missing` what had none, as sentences.

    Args:
        environ: The environment.
        folder: Where the file stands; it is the workspace of an editor's file.
        inputs: Inputs of the file by id, with their defaults (None: none).
        per_user: Names that other programs ask each user for.
    """

    environ: Mapping[str, str]
    folder: Path | None = None
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    per_user: frozenset[str] = frozenset()
    missing: list[str] = field(default_factory=list)

    def filled(self, value: Any) -> Any:
        """`value` with every reference replaced, in all its depth (that of the file is bounded)."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.filled(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.filled(below) for below in value]
        return value

    def text(self, text: str) -> str:
        for name in _PER_USER.findall(text):
            if name in self.per_user or name.startswith("LIBRECHAT_"):
                self._miss(f"'{{{{{name}}}}}' is a value of each user, which is not asked for here")
        return _REFERENCE.sub(self._value, text)

    def whole(self, text: str) -> str:
        """A value that is just `$NAME`, as Gemini CLI has it; left as it is where there is none."""
        found = _WHOLE.fullmatch(text)
        known = self._environment(found[1]) if found else None
        return text if known is None else known

    def _value(self, match: re.Match[str]) -> str:
        kind, name, default = match.groups()
        if kind is None and name in _FOLDERS:
            return self._folder(name)
        if kind == "input":
            return self._input(name)
        if kind not in (None, "env"):
            return self._miss(f"'{match[0][:80]}' has no value outside of its own program")
        if not name:
            return match[0]
        found = self._environment(name)
        if found is None:
            found = default
        return self._miss(f"the environment variable {name} is not set") if found is None else found

    def _environment(self, name: str) -> str | None:
        found = self.environ.get(name)
        return found if found and is_unicode(found) else None

    def _input(self, name: str) -> str:
        found = self._environment(input_variable(name)) or self.inputs.get(name)
        if found is None:
            return self._miss(f"the input '{name}' has no value: set {input_variable(name)}")
        return found

    def _folder(self, name: str) -> str:
        folder = (self.folder or Path.cwd()).absolute()
        return {"userHome": str(Path.home()), "workspaceFolderBasename": folder.name}.get(
            name, os.sep if name in _SEPARATORS else str(folder)
        )

    def _miss(self, sentence: str) -> str:
        if sentence not in self.missing:
            self.missing.append(sentence)
        return ""


_SEPARATORS = ("pathSeparator", "/")
_FOLDERS = frozenset(
    {"workspaceFolder", "workspaceRoot", "workspaceFolderBasename", "cwd", "userHome", *_SEPARATORS}
)
