"""A shop's configuration: a section, and files with entries, secrets and findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, RootModel, SecretStr

from core.errors import ConfigInvalid
from core.settings import Book, ConfigFile, Section, Strict


class ShopSettings(Strict):
    """A shop."""

    name: str = "corner"
    seconds: float = 600
    api_key: SecretStr | None = None
    url: str = ""
    model: str = ""


class ModelEntry(Strict):
    model_name: str
    api_key: SecretStr = SecretStr("")
    description: str | None = None
    groups: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    args: list[str] = Field(default_factory=list)


class ModelsFile(Strict):
    models: dict[str, ModelEntry] = Field(default_factory=dict)


class SourcesFile(RootModel[dict[str, str]]):
    root: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    enabled: bool = True
    groups: list[str] = field(default_factory=list)
    description: str = "built in"


class Listed:
    """The configured models and a built-in one."""

    def __init__(self, book: Book) -> None:
        self._entries: dict[str, Any] = {**book[ModelsFile].models, "offline": Known()}
        self._default = book[ShopSettings].model or "offline"
        if self._default not in self._entries:
            raise ConfigInvalid(f"shop.model: there is no model '{self._default}'")

    def entries(self) -> Mapping[str, Any]:
        return self._entries

    def default(self) -> str:
        return self._default

    def names(self) -> Iterable[str]:
        return self.entries()


def review(book: Book) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    for name, folder in book[SourcesFile].root.items():
        if folder == "gone":
            yield (name,), "the folder is not there", "create it"


SECTION = Section("shop", ShopSettings)
MODELS = ConfigFile("models", ("models.yaml", "llmconfig.yml"), ModelsFile)
LISTED_MODELS = ConfigFile("models", ("models.yaml", "llmconfig.yml"), ModelsFile, listing=Listed)
SOURCES = ConfigFile("sources", ("sources.yaml",), SourcesFile, review=review)

MODELS_YAML = """\
models:
  gpt:
    model_name: gpt-9
    api_key: sk-secret
    env: {TOKEN: t0p}
    args: [--key, hush, --password=hush, --fast]
"""
