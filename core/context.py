"""Who asks, and what for: the graph's context schema. JSON only: Studio shows it as a form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from langgraph.runtime import Runtime

from core.access import Principal
from core.choices import Choices, choice, described


@dataclass(frozen=True, kw_only=True)
class RunContext(Choices):
    """Run-scoped settings. Over HTTP, user and groups come from authentication, never from the body.

    Args:
        user: Who asks.
        groups: Their groups.
        levels: The compliance levels that they may see; "*" for all.
    """

    __pydantic_config__: ClassVar[Any] = {"json_schema_extra": described}

    user: str = field(default="local", metadata=choice(str, "Who asks."))
    groups: list[str] = field(default_factory=list, metadata=choice(list[str], "Their groups."))
    levels: list[str] = field(
        default_factory=list,
        metadata=choice(list[str], 'Compliance levels that they may see; "*" for all.'),
    )

    @property
    def principal(self) -> Principal:
        return Principal(self.user, frozenset(self.groups), frozenset(self.levels))


def context_for(choices: Choices, principal: Principal) -> RunContext:
    """The context of what somebody chose."""
    groups, levels = sorted(principal.groups), sorted(principal.levels)
    return RunContext(user=principal.id, groups=groups, levels=levels, **choices.by_name())


def context_of(runtime: Runtime[RunContext]) -> RunContext:
    """The run's context; defaults where the caller gave none (Studio may).

    Under `langgraph dev` a person fills it in. Whoever has logged in there is
    that user, whatever the form says.
    """
    given: RunContext | None = runtime.context
    context = given or RunContext()
    user: Any = runtime.server_info.user if runtime.server_info else None
    if user is None or not user.is_authenticated:
        return context
    groups, levels = (list(getattr(user, name, ())) for name in ("groups", "levels"))
    return replace(context, user=user.identity, groups=groups, levels=levels)
