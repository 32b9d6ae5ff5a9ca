"""Receivers that a caller names for one run: a hook of the settings, or a URL on an allowed host."""

from __future__ import annotations

from pydantic import SecretStr, ValidationError

from core.errors import InvalidInput
from core.events.settings import ALL_EVENTS, Hook, WebhookSettings


class WebhookNotAllowed(InvalidInput):
    """The receiver that a request names may not be told."""

    code = "webhook_not_allowed"
    title = "The webhook is not allowed"


def target_of(settings: WebhookSettings, named: str) -> Hook:
    """The hook that `named` means.

    Raises:
        WebhookNotAllowed: It is neither a hook that is on, nor a URL that may be told.
    """
    if "://" not in named:
        found = next((hook for hook in settings.hooks if hook.name == named and hook.enabled), None)
        if found is None:
            known = ", ".join(hook.name for hook in settings.hooks if hook.enabled) or "none"
            raise WebhookNotAllowed(f"no webhook '{named[:64]}'; webhooks: {known}")
        return found
    if settings.run_secret is None:
        raise WebhookNotAllowed(
            "a run may tell a URL only where webhooks.run_secret is set, which signs what is sent"
        )
    return _checked(settings, named, settings.run_secret)


def _checked(settings: WebhookSettings, url: str, secret: SecretStr) -> Hook:
    try:
        hook = Hook(name="run", url=url, secret=secret, events=[ALL_EVENTS])
        settings.may_receive(hook)
    except ValidationError as error:
        raise WebhookNotAllowed(f"webhook: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise WebhookNotAllowed(str(error)) from None
    return hook
