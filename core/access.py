"""Who may use what: the one place that decides. What nothing here allows is not allowed.

A `Principal` comes from authentication. A thing is guarded by its owner, or by
groups and a level: no groups means everyone, several mean any of them; a level
means those who have it. Scopes say which kinds of requests a caller may make.
Who asks and what they chose is a `RunContext`, the graph's context schema: JSON
only, for Studio shows it as a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from core.callers import Scope
from core.choices import Choices, choice, described
from core.errors import NotAllowed

if TYPE_CHECKING:  # commands that only read rows start without either
    from langgraph.runtime import Runtime
    from prometheus_client import Counter

EVERY = "*"
EVERY_SCOPE = frozenset({EVERY})


class ScopeMissing(NotAllowed):
    """The caller is known, and none of its scopes covers this."""

    code = "scope_missing"
    title = "Your credentials do not cover this"


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller.

    Args:
        id: Who it is; owns what it makes.
        groups: Any of them opens what names it.
        levels: Compliance levels it may see; "*" for all.
        scopes: `use`, `operate`, `admin`, `act_as`; "*" for all.
    """

    id: str
    groups: frozenset[str] = frozenset()
    levels: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()


class Guarded(Protocol):
    """Anything that a group list protects; an entry of a configuration file, say.

    Where it has a `compliance_level` (or `level`) that is not empty, that counts too.
    """

    @property
    def enabled(self) -> bool: ...

    @property
    def groups(self) -> list[str]: ...


G = TypeVar("G", bound=Guarded)


def may_use(principal: Principal, thing: Guarded) -> bool:
    """True when `thing` is enabled, open to one of the principal's groups and not above its levels."""
    return _said("use", answer=thing.enabled and _in_group(principal, thing) and _on_level(principal, thing))


def _in_group(principal: Principal, thing: Guarded) -> bool:
    return not thing.groups or not principal.groups.isdisjoint(thing.groups)


def _on_level(principal: Principal, thing: Guarded) -> bool:
    level = getattr(thing, "compliance_level", None) or getattr(thing, "level", None)
    return not level or EVERY in principal.levels or level in principal.levels


def usable(principal: Principal, things: Mapping[str, G]) -> dict[str, G]:
    """The part of `things` that the principal may use, in its order."""
    return {name: thing for name, thing in things.items() if may_use(principal, thing)}


def owns(principal: Principal, owner: str) -> bool:
    """True when an object of `owner` belongs to the principal."""
    return _said("own", answer=principal.id == owner)


def owner_seen_by(principal: Principal) -> str:
    """Whose objects the principal sees: for a query or a store that filters by owner itself."""
    # A database or a store is given the owner and leaves out the rest by itself.
    _count("own", "filter").inc()
    return principal.id


def has_scope(principal: Principal, scope: Scope) -> bool:
    """True when the principal may make requests of this kind."""
    return _said("scope", answer=not principal.scopes.isdisjoint({scope, EVERY}))


def require(principal: Principal, scope: Scope) -> None:
    """Let the principal pass, or not.

    Raises:
        ScopeMissing: None of its scopes covers this.
    """
    if not has_scope(principal, scope):
        raise ScopeMissing(f"this needs the scope '{scope}', which your credentials do not have")


def _said(question: str, *, answer: bool) -> bool:
    _count(question, "yes" if answer else "no").inc()
    return answer


@cache
def _count(question: str, answer: str) -> Counter:
    from core.observability.metrics import DECISIONS  # noqa: PLC0415 - a declaration of a task decides nothing

    return DECISIONS.labels(question, answer)


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
