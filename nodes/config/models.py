"""What a caller wishes for a turn, and what the turn then runs with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.context import Approval, RunContext


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller asked for. None leaves the choice to us; an empty tuple means none at all.

    Args:
        model: Display name; empty for the default.
        sources: Names of sources.
        tools: Names of servers, or full names of single tools.
        temperature: 0 to 2.
        max_steps: Model calls in the turn.
        approval: ask, auto or deny.
    """

    model: str = ""
    sources: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    temperature: float | None = None
    max_steps: int | None = None
    approval: Approval = "ask"

    @classmethod
    def of(cls, context: RunContext) -> Wishes:
        """The wishes that a run's context holds."""
        return cls(
            model=context.model,
            sources=None if context.sources is None else tuple(context.sources),
            tools=None if context.tools is None else tuple(context.tools),
            temperature=context.temperature,
            max_steps=context.max_steps,
            approval=context.approval,
        )


@dataclass(frozen=True, slots=True)
class TurnConfig:
    """What a turn may use, resolved and checked.

    `tools` is None for every tool of `servers`, else full tool names.
    """

    model: str
    sources: tuple[str, ...]
    servers: tuple[str, ...]
    tools: tuple[str, ...] | None
    temperature: float | None
    max_steps: int
    approval: Approval

    def as_state(self) -> dict[str, Any]:
        """The `config` channel: JSON."""
        return {
            "model": self.model,
            "sources": list(self.sources),
            "servers": list(self.servers),
            "tools": None if self.tools is None else list(self.tools),
            "temperature": self.temperature,
            "max_steps": self.max_steps,
            "approval": self.approval,
        }
