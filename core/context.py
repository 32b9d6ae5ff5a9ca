"""What a caller chooses for one run; the graph's context schema. JSON only: Studio shows it as a form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langgraph.runtime import Runtime

from core.access import Principal
from core.errors import InvalidInput

Approval = Literal["ask", "auto", "deny"]


@dataclass(frozen=True)
class RunContext:
    """Run-scoped settings. Over HTTP, user and groups come from authentication, never from the body.

    Args:
        user: Who asks.
        groups: Their groups.
        levels: The compliance levels that they may see; "*" for all.
        model: Display name of a model; empty for the default.
        sources: Names of sources to search; None for all that the user may use.
        tools: Names of servers or of single tools; None for all that the user may use.
        temperature: 0 to 2; None for the model's own.
        max_steps: Model calls in this turn; None for the limit in the settings.
        approval: For tools that need a person's word: ask, allow all that the operator leaves to callers,
            or refuse all.
    """

    user: str = "local"
    groups: list[str] = field(default_factory=list)
    model: str = ""
    sources: list[str] | None = None
    tools: list[str] | None = None
    temperature: float | None = None
    max_steps: int | None = None
    approval: Approval = "ask"
    levels: list[str] = field(default_factory=list)

    @property
    def principal(self) -> Principal:
        return Principal(self.user, frozenset(self.groups), frozenset(self.levels))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_FORMS: tuple[tuple[str, tuple[str, ...], Callable[[Any], bool]], ...] = (
    ("text", ("user", "model", "approval"), _is_text),
    ("a list of names", ("groups", "levels"), _is_names),
    ("a list of names, or null", ("sources", "tools"), lambda value: value is None or _is_names(value)),
    ("a number, or null", ("temperature", "max_steps"), lambda value: value is None or _is_number(value)),
)


def checked(context: RunContext) -> RunContext:
    """The context, when each field is of its kind: a form or a notebook may have put anything there.

    Raises:
        InvalidInput: One is not.
    """
    for words, names, fits in _FORMS:
        for name in names:
            if not fits(value := getattr(context, name)):
                raise InvalidInput(f"{name} must be {words}, not {str(value)[:80]!r}")
    return context


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
