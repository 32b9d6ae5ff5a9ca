"""Catalogues in memory: for tests, and for the module when it runs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.access import Guarded


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that a group list protects."""

    enabled: bool = True
    groups: list[str] = field(default_factory=list)


class FakeSources:
    """A SourceCatalogue."""

    def __init__(self, entries: Mapping[str, Guarded] | None = None) -> None:
        self._entries = dict(entries or {})

    def entries(self) -> Mapping[str, Guarded]:
        return self._entries


class FakeModels(FakeSources):
    """A ModelCatalogue; the first model is the default."""

    def default(self) -> str:
        return next(iter(self._entries), "")


class FakeServers(FakeSources):
    """A ServerCatalogue; `tools` are full names by server."""

    def __init__(
        self,
        entries: Mapping[str, Guarded] | None = None,
        *,
        tools: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(entries)
        self._tools = dict(tools or {})

    def tool_names(self, server: str) -> Sequence[str]:
        return self._tools.get(server, ())
