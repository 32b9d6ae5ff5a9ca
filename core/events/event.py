"""What an event is: a fact that happened, when, and for whom."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from typing import Any

from core.correlation import Correlation, current

_FRAME = ("at", "by")
_IDS = tuple(f.name for f in fields(Correlation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of every event.

    A subclass is a frozen dataclass whose fields are JSON values: ids, names,
    counts and durations, never what somebody wrote.

    Args:
        at: When it happened, in seconds since 1970.
        by: The request, run, thread and user it happened for; the current ones by default.
    """

    at: float = field(default_factory=time.time)
    by: Correlation = field(default_factory=current)

    @property
    def what(self) -> str:
        """The class's name, by which settings, webhooks and the audit log call the event."""
        return type(self).__name__

    @property
    def outcome(self) -> str:
        """How it went: the event's own `status` where it has one, otherwise "done"."""
        return str(getattr(self, "status", "") or "done")

    def details(self) -> dict[str, Any]:
        """The event's own fields."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _FRAME}

    def ids(self) -> dict[str, str]:
        """The ids it happened for that are known, the user's too."""
        return {name: value for name in _IDS if (value := getattr(self.by, name))}

    def as_json(self) -> dict[str, Any]:
        """Its own fields, with `at` and, under `by`, the ids that are known."""
        return {**self.details(), "at": self.at, "by": self.ids()}


def known_events() -> dict[str, type[Event]]:
    """Every event class that is loaded, by its name."""
    found: dict[str, type[Event]] = {}
    queue: list[type[Event]] = [Event]
    while queue:
        for cls in queue.pop().__subclasses__():
            # A dataclass with slots is made anew: of two classes of one name the later is the real one.
            found[cls.__name__] = cls
            queue.append(cls)
    return dict(sorted(found.items()))
