"""What a turn runs with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.choices import Choices


@dataclass(frozen=True, kw_only=True)
class TurnConfig(Choices):
    """A caller's choices, each of them made: checked, and resolved against what there is.

    `tools` is None for every tool of `servers`, else full tool names.
    """

    sources: Sequence[str] = ()
    servers: tuple[str, ...] = ()

    def as_state(self) -> dict[str, Any]:
        """The `config` channel: JSON."""
        return {**self.as_json(), "servers": list(self.servers)}
