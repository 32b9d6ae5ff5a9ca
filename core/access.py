"""Who may use what: the one place that decides.

A `Principal` comes from authentication. A thing is guarded by its owner or by
its groups: no groups means everyone, several mean any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller."""

    id: str
    groups: frozenset[str] = frozenset()


class Guarded(Protocol):
    """Anything that a group list protects; an entry of a configuration file, say."""

    @property
    def enabled(self) -> bool: ...

    @property
    def groups(self) -> list[str]: ...


G = TypeVar("G", bound=Guarded)


def may_use(principal: Principal, thing: Guarded) -> bool:
    """True when `thing` is enabled and open to one of the principal's groups."""
    if not thing.enabled:
        return False
    return not thing.groups or bool(principal.groups.intersection(thing.groups))


def usable(principal: Principal, things: Mapping[str, G]) -> dict[str, G]:
    """The part of `things` that the principal may use, in its order."""
    return {name: thing for name, thing in things.items() if may_use(principal, thing)}


def owns(principal: Principal, owner: str) -> bool:
    """True when an object of `owner` belongs to the principal."""
    return principal.id == owner
