"""The names of the events that ship with Waystation, wherever they are published: webhooks ask for them."""

from __future__ import annotations

SHIPPED = frozenset(
    {
        "BreakerClosed",
        "BreakerOpened",
        "ConfigRejected",
        "ConfigReloaded",
        "FileDeleted",
        "FileUploaded",
        "KeyMade",
        "KeyRevoked",
        "RetrievalDone",
        "ServerDown",
        "ServerUp",
        "ToolExecuted",
        "ToolReviewed",
        "TurnFinished",
        "TurnStarted",
        "WebhookFailed",
    }
)
