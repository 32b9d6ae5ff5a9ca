"""Whether other processes are reached, and since when not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cut:
    """Others are not reached. The reason names no path and no address."""

    since: datetime
    reason: str


class Reach:
    """What a relay knows of itself. It says in the log when it is cut off, once, and when it is back."""

    def __init__(self) -> None:
        self.cut: Cut | None = Cut(datetime.now(UTC), "not open")
        self._told = False

    def lose(self, reason: str) -> None:
        """Others are not reached any more, or still not: then `since` stays."""
        if self._told and self.cut:
            self.cut = Cut(self.cut.since, reason)
            return
        self._told = True
        self.cut = Cut(datetime.now(UTC), reason)
        log.warning("signals_cut_off", reason=reason)

    def gain(self) -> None:
        """Others are reached."""
        self.cut = None
        if self._told:
            self._told = False
            log.info("signals_reach_others")

    def close(self) -> None:
        self.cut = Cut(datetime.now(UTC), "closed")


class NoRelay:
    """A `Relay` where there is no way to others.

    Args:
        reason: Why, for the operator.
    """

    def __init__(self, reason: str) -> None:
        self.cut: Cut | None = Cut(datetime.now(UTC), reason)
        self.details: Mapping[str, Any] = {}

    def send(self, topic: str) -> None:
        """Nobody is there."""

    def opened(self, _heard: object, _missed: object) -> AbstractAsyncContextManager[None]:
        return nullcontext()
