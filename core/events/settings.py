"""The sections `events` and `webhooks` of waystation.yaml."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from core.settings import Named, Section, Strict

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public mark of a webhook secret, not one
ALL_EVENTS = "*"


class EventSettings(Strict):
    """The event bus and the audit log."""

    queue: int = Field(1000, ge=1, le=1_000_000, description="Events that may wait for one subscriber.")
    drain_seconds: float = Field(5, ge=0, le=60, description="Time for waiting events at shutdown, seconds.")
    audit: bool = Field(True, description="Write every event to logs/audit.jsonl in WAYSTATION_HOME.")
    audit_bytes: int = Field(10_485_760, ge=4096, description="Size of one audit file, in bytes.")
    audit_files: int = Field(10, ge=1, le=1000, description="Audit files that are kept, the current one too.")


def signing_secret(value: SecretStr) -> SecretStr:
    """The secret itself; raises ValueError when it is no webhook secret."""
    if not 24 <= len(signing_key(value)) <= 64:
        raise ValueError(
            "is not 24 to 64 bytes in base64 after 'whsec_'; make one with: openssl rand -base64 32"
        )
    return value


class Hook(Strict):
    """One receiver of events."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="What logs and metrics call it.")
    url: str = Field(max_length=2000, description="Where events are posted to; its host is an allowed one.")
    secret: SecretStr = Field(description="whsec_ and 24 to 64 random bytes in base64; signs the bodies.")
    events: list[str] = Field(min_length=1, description='Names of events, or "*" for all.')
    enabled: bool = Field(True, description="False keeps the entry and sends nothing.")

    @field_validator("secret")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        return signing_secret(value)

    @property
    def host(self) -> str:
        return (urlsplit(self.url).hostname or "").rstrip(".")


class WebhookSettings(Strict):
    """Events for other services, signed."""

    hooks: list[Hook] = Field(default_factory=list, description="The receivers.")
    run_secret: SecretStr | None = Field(
        None,
        description="Signs what runs tell the URL that their caller named; as a hook's secret. "
        "Empty: runs tell hooks of this list only.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list, description="Hosts that may receive; *.example.com allows every name below."
    )
    allow_private_addresses: bool = Field(
        False, description="Allow plain http, and addresses of this machine and of private networks."
    )
    timeout_seconds: float = Field(10, gt=0, le=60, description="Longest delivery attempt, seconds.")
    attempts: int = Field(6, ge=1, le=20, description="Attempts before a delivery is given up.")
    backoff_seconds: float = Field(5, gt=0, le=3600, description="Wait before the second attempt, seconds.")
    keep_days: float = Field(30, gt=0, description="How long ended deliveries are kept, in days.")

    @property
    def tells(self) -> bool:
        """Whether anybody can be told of anything."""
        return bool(self.hooks) or self.run_secret is not None

    @field_validator("run_secret")
    @classmethod
    def _signs(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is None else signing_secret(value)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        names = [hook.name for hook in self.hooks]
        for hook in self.hooks:
            if names.count(hook.name) > 1:
                raise ValueError(f"two hooks are called '{hook.name}'; rename one")
            self.may_receive(hook)
        return self

    def may_receive(self, hook: Hook) -> None:
        """Raises ValueError when the hook's URL is not one that may be told."""
        schemes = ("https", "http") if self.allow_private_addresses else ("https",)
        parts = urlsplit(hook.url)
        if parts.scheme not in schemes or not hook.host:
            raise ValueError(f"hook '{hook.name}': url must be a full {' or '.join(schemes)} address")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError(f"hook '{hook.name}': url may hold no login and no fragment")
        if not any(fnmatchcase(hook.host, allowed.lower()) for allowed in self.allowed_hosts):
            raise ValueError(f"hook '{hook.name}': add its host '{hook.host}' to webhooks.allowed_hosts")


def signing_key(secret: SecretStr) -> bytes:
    """The bytes that a webhook secret stands for; empty where it is none."""
    try:
        return base64.b64decode(secret.get_secret_value().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _named(settings: WebhookSettings) -> Iterator[Named]:
    for place, hook in enumerate(settings.hooks):
        for number, event in enumerate(hook.events):
            if event != ALL_EVENTS:
                yield ("hooks", place, "events", number), "events", event


SECTIONS = (Section("events", EventSettings), Section("webhooks", WebhookSettings, names=_named))
