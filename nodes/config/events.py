"""What this module tells the service."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReloaded(Event):
    """Turns that begin now run with another edition of the configuration.

    Args:
        edition: Its number, from 1 at the start of the process.
        changed: The keys that differ from the edition before, without their values.
    """

    edition: int
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRejected(Event):
    """Files were changed to something that is not valid; the service goes on with what it has.

    Args:
        problems: A line each: file, line, key, what is wrong, remedy.
    """

    problems: tuple[str, ...] = ()
