"""A configuration folder to write into, and what reading it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

from core.settings import Book, ConfigFile, Context, Places, Section, inspect_book


class ConfigFolder:
    """Files under `root`/config, read with an environment of the test's own.

    Args:
        root: A folder of the test.
        sections: Sections that waystation.yaml may have.
        files: Files that may stand beside it.
    """

    def __init__(
        self, root: Path, sections: Sequence[Section] = (), files: Sequence[ConfigFile] = ()
    ) -> None:
        self.places = Places(root / "config", root / "home")
        self.places.config_dir.mkdir(parents=True, exist_ok=True)
        self.sections = tuple(sections)
        self.files = tuple(files)
        self.environ: dict[str, str] = {}

    def write(self, name: str, text: str) -> Path:
        """Write a file, its indentation taken off."""
        path = self.places.config_dir / name
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def context(self, **overrides: Mapping[str, Any]) -> Context:
        return Context(self.places, self.environ, overrides)

    def read(self, **overrides: Mapping[str, Any]) -> tuple[Book, list[str]]:
        """The book, and each problem as its line."""
        book, problems = inspect_book(self.sections, self.files, self.context(**overrides))
        return book, [str(problem) for problem in problems]

    def problems(self, **overrides: Mapping[str, Any]) -> list[str]:
        return self.read(**overrides)[1]
