"""Facts that happened, and whoever wants to know of them."""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from core.events.bus import EventBus
    from core.events.recorder import Recorded, record
    from core.events.subscription import Event, Subscription, SubscriptionStatus, known_events

__all__ = [
    "Event",
    "EventBus",
    "Recorded",
    "Subscription",
    "SubscriptionStatus",
    "known_events",
    "record",
]

__getattr__ = names_from(__name__, "subscription", "bus", "recorder")
