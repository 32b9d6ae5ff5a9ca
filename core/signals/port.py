"""What signals need of a way to other processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from core.signals.reach import Cut

Heard = Callable[[str], None]
Missed = Callable[[], None]


class Relay(Protocol):
    """Carries topics to the other processes of a database, and theirs to this one."""

    @property
    def cut(self) -> Cut | None:
        """Since when and why others are not reached; None while they are."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Counts for operators."""

    def send(self, topic: str) -> None:
        """Tell the others. Never waits, never fails, and does nothing unless it is open."""

    def opened(self, heard: Heard, missed: Missed) -> AbstractAsyncContextManager[None]:
        """Receives as long as the block runs.

        Args:
            heard: Called with each topic of another process.
            missed: Called when topics may have been lost.
        """
