"""The section `cache` of waystation.yaml."""

from __future__ import annotations

from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from core.settings import Section, Strict

Kind = Literal["discovery", "retrieval", "models", "tools"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REMOTE = ("redis", "rediss")


class KindSettings(Strict):
    """Whether answers of one kind are kept, and how long."""

    enabled: bool = Field(True, description="Keep these answers.")
    ttl_s: float = Field(60, gt=0, le=86_400, description="Age at which an answer is forgotten, in seconds.")


class LongerKept(KindSettings):
    """The same for what changes seldom."""

    ttl_s: float = Field(300, gt=0, le=86_400, description="Age at which an answer is forgotten, in seconds.")


class CacheSettings(Strict):
    """Where answers are kept, and which."""

    url: str = Field(
        "mem://", description="mem:// keeps answers in this process; redis://HOST:PORT/DB shares them."
    )
    namespace: str = Field(
        "waystation",
        pattern=r"^[a-z0-9_-]{1,40}$",
        description="Prefix of the keys in Redis. Services that may not share answers need different ones.",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Signs what is put into Redis, so that no other program's entries are believed.",
    )
    timeout_s: float = Field(
        0.25, gt=0, le=0.5, description="Longest wait for Redis at a reading or writing, in seconds."
    )
    retry_s: float = Field(
        3, gt=0, le=60, description="Time for which a Redis that did not answer is left alone, in seconds."
    )
    entries: int = Field(1000, ge=1, le=1_000_000, description="Largest number of answers kept in memory.")
    entry_bytes: int = Field(
        1_048_576, ge=1024, description="Largest answer that is kept, in bytes as JSON; larger ones are not."
    )
    discovery: KindSettings = Field(KindSettings(), description="Which sources a user has.")
    retrieval: KindSettings = Field(
        KindSettings(), description="Passages that a remote source found, and vectors of questions."
    )
    models: LongerKept = Field(LongerKept(), description="Lists of models that an endpoint serves.")
    tools: LongerKept = Field(LongerKept(), description="Catalogues of tool servers.")

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        if url in ("mem://", "memory://"):
            return url
        parts = urlsplit(url)
        if parts.scheme not in REMOTE or not parts.hostname:
            raise ValueError("must be mem://, redis://HOST:PORT/DB or rediss://HOST:PORT/DB")
        if parts.port == 0:
            raise ValueError("must name a port")
        if parts.query:
            raise ValueError("must have no query behind a '?'")
        return url

    @property
    def remote(self) -> bool:
        """True where the answers stand outside of this process."""
        return self.url.startswith(REMOTE)

    def kind(self, kind: Kind) -> KindSettings:
        """The settings of one kind."""
        found: KindSettings = getattr(self, kind)
        return found


SECTION = Section("cache", CacheSettings)
