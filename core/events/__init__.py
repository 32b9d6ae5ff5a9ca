"""Facts that happened, and whoever wants to know of them."""

from core.events.bus import EventBus
from core.events.record import Recorded, record
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
