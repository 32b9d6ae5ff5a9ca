"""What configuration asks of the modules that own models, sources and servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.access import Guarded


class ModelCatalogue(Protocol):
    """The models by display name."""

    def entries(self) -> Mapping[str, Guarded]: ...

    def default(self) -> str:
        """The model of those who choose none."""


class SourceCatalogue(Protocol):
    """The sources by name."""

    def entries(self) -> Mapping[str, Guarded]: ...


class ServerCatalogue(Protocol):
    """The tool servers by name."""

    def entries(self) -> Mapping[str, Guarded]: ...

    def tool_names(self, server: str) -> Sequence[str]:
        """Full names of the server's tools, as far as they are known now."""
