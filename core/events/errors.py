"""What can go wrong with a webhook, with a code each."""

from __future__ import annotations

from core.errors import NotAllowed, Unavailable


class WebhookUnavailable(Unavailable):
    """The receiver did not take the event this time; another attempt may succeed.

    Args:
        retry_after: Seconds after which the receiver wants to be asked again, where it said so.
    """

    code = "webhook_unavailable"
    title = "A webhook's receiver does not answer"

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class WebhookRefused(NotAllowed):
    """The receiver, or a rule of this service, refuses the delivery for good."""

    code = "webhook_refused"
    title = "A webhook's delivery is refused"
