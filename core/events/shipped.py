"""The names of the events that are published by no module of the registry: webhooks ask for them."""

from __future__ import annotations

SHIPPED = frozenset(
    {
        "BreakerClosed",
        "BreakerOpened",
        "KeyMade",
        "KeyRevoked",
        "TurnFinished",
        "TurnStarted",
        "WebhookFailed",
    }
)
