"""One log line for each turn that ended."""

from __future__ import annotations

import structlog

from core.events import EventBus, Subscription
from graph.runs.announcements import TurnFinished

log = structlog.get_logger(__name__)


def log_turns(bus: EventBus) -> Subscription:
    """Log turns as they end; the bus binds the ids of their run, thread and request."""
    return bus.subscribe(TurnFinished, _log, name="turn_log")


async def _log(event: TurnFinished) -> None:
    log.info("turn_ended", status=event.status, code=event.code, ms=event.duration_ms)
