"""The section `resilience` of waystation.yaml: how long, how often and how many at once we ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints, model_validator

from core.settings import Named, Section, Strict

Kind = Literal["model", "server", "source", "bucket", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Kinds whose names stand in a file of the configuration.
_LISTED = ("model", "server", "source")

TargetName = Annotated[str, StringConstraints(pattern=r"^[a-z]+:.+$")]


def _timeout(default: float) -> float:
    text = "Longest call with all its tries and its wait for a place, in seconds; of a stream, its begin."
    found: float = Field(default, gt=0, le=3600, description=text)
    return found


def _attempts(default: int) -> int:
    found: int = Field(default, ge=1, le=11, description="Tries of one call; 1 tries once.")
    return found


def _at_once(default: int) -> int:
    text = "Calls that may be going at once; of a stream, those that are being opened."
    found: int = Field(default, ge=1, le=10_000, description=text)
    return found


def _queue(default: int) -> int:
    found: int = Field(
        default, ge=0, le=100_000, description="Callers that may wait for one of those places."
    )
    return found


class PolicySettings(Strict):
    """How one target is called."""

    timeout_s: float = _timeout(30)
    attempts: int = _attempts(3)
    backoff_s: float = Field(0.25, gt=0, le=60, description="First pause between tries, seconds; it doubles.")
    longest_backoff_s: float = Field(
        8, gt=0, le=600, description="Longest pause, seconds; a longer Retry-After ends the tries."
    )
    failure_rate: float = Field(0.5, gt=0, le=1, description="Share of failed calls that opens the breaker.")
    window: int = Field(16, ge=1, le=10_000, description="Calls that this share is taken of, the latest.")
    min_calls: int = Field(10, ge=1, le=10_000, description="Calls before the share counts.")
    in_a_row: int = Field(5, ge=1, le=10_000, description="Failures in a row that open the breaker at once.")
    open_s: float = Field(
        5, gt=0, le=3600, description="Seconds an open breaker waits before it tries one call."
    )
    at_once: int = _at_once(64)
    queue: int = _queue(256)


class ModelPolicy(PolicySettings):
    """How models are called."""

    timeout_s: float = _timeout(120)
    at_once: int = _at_once(256)
    queue: int = _queue(4096)


class ServerPolicy(PolicySettings):
    """How tool servers are called."""

    attempts: int = _attempts(2)


class SourcePolicy(PolicySettings):
    """How sources are searched."""

    timeout_s: float = _timeout(15)
    attempts: int = _attempts(2)


class BucketPolicy(PolicySettings):
    """How the bucket is used."""

    timeout_s: float = _timeout(60)


class OtherPolicy(PolicySettings):
    """How anything else is called that a module of yours leans on."""


class ResilienceSettings(Strict):
    """Time limits, tries and circuit breakers, per kind of dependency."""

    model: ModelPolicy = Field(default_factory=ModelPolicy)
    server: ServerPolicy = Field(default_factory=ServerPolicy)
    source: SourcePolicy = Field(default_factory=SourcePolicy)
    bucket: BucketPolicy = Field(default_factory=BucketPolicy)
    other: OtherPolicy = Field(default_factory=OtherPolicy)
    targets: dict[TargetName, PolicySettings] = Field(
        default_factory=dict,
        description="Single targets by KIND:NAME; a key that is left out is as its kind has it.",
    )

    @model_validator(mode="after")
    def _fits(self) -> ResilienceSettings:
        for kind in KINDS:
            _check(kind, self.of(kind, ""))
        for target in self.targets:
            kind_of, _, name = target.partition(":")
            if kind_of not in KINDS:
                raise ValueError(
                    f"'{target}' begins with no kind; write one of {', '.join(KINDS)} before the colon"
                )
            found: Kind = kind_of
            _check(target, self.of(found, name))
        return self

    def of(
        self, kind: Kind, name: str, *, timeout_s: float | None = None, attempts: int | None = None
    ) -> PolicySettings:
        """What holds for one target: its kind's, then what its own entry says, then `targets`."""
        base: PolicySettings = getattr(self, kind)
        entry = {"timeout_s": timeout_s, "attempts": attempts}
        own = self.targets.get(f"{kind}:{name}")
        written = {key: getattr(own, key) for key in own.model_fields_set} if own else {}
        return base.model_copy(update={**{k: v for k, v in entry.items() if v is not None}, **written})


def _check(place: str, policy: PolicySettings) -> None:
    if policy.min_calls > policy.window:
        raise ValueError(f"{place}: min_calls ({policy.min_calls}) is more than window ({policy.window})")
    if policy.backoff_s > policy.longest_backoff_s:
        raise ValueError(
            f"{place}: backoff_s ({policy.backoff_s:g}) is more than longest_backoff_s "
            f"({policy.longest_backoff_s:g})"
        )


def _named(settings: ResilienceSettings) -> Iterator[Named]:
    for target in settings.targets:
        kind, _, name = target.partition(":")
        if kind in _LISTED:
            yield ("targets", target), f"{kind}s", name


SECTION = Section("resilience", ResilienceSettings, names=_named)
