"""API keys, for whoever may give them: what `waystation keys` does, over HTTP."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from core.access import ScopeMissing
from core.callers import Scope
from core.events import Event, EventBus
from core.identity.acting import check_gift
from core.identity.errors import KeyExceedsRights, KeyNotFound
from core.identity.keys import NAME_LENGTH, KeyRecord, KeyStore
from core.settings.auth import Word
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.requests import ID_PATTERN
from server.routes.common import OpenAgent, problems
from server.shapes.form import Json, Shape
from server.shapes.operators import KeyMadeShown, KeyShown

MOST_WORDS = 100
MOST_DAYS = 36_500
DAY_SECONDS = 86_400

router = APIRouter(prefix="/keys", tags=["operators"], responses=problems(ScopeMissing, InvalidRequest))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMade(Event):
    """A key was made over HTTP; who made it stands in `by`."""

    key_id: str
    holder: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked(Event):
    """A key was ended over HTTP; who ended it stands in `by`."""

    key_id: str
    holder: str


class NewKey(BaseModel, extra="forbid"):
    """What a key shall open, and for whom."""

    user: str = Field("", max_length=128, description="Who its bearer is; empty: you.")
    name: str = Field("", max_length=NAME_LENGTH, description="What it is for.")
    groups: list[Word] = Field(default_factory=list, max_length=MOST_WORDS)
    levels: list[Word] = Field(default_factory=list, max_length=MOST_WORDS)
    scopes: list[Scope] = Field(default=["use"], min_length=1, max_length=10, description="What it opens.")
    days: float | None = Field(None, gt=0, le=MOST_DAYS, description="Until it expires; null: never.")


@router.get("")
async def list_keys(agent: OpenAgent) -> Annotated[list[Json], Shape(list[KeyShown])]:
    """Every API key, the newest first: whose, what it opens, when it was last used. Never the key itself."""
    return [_shown(record) for record in await KeyStore(agent.engine).list()]


@router.post("", status_code=201, responses=problems(ScopeMissing, KeyExceedsRights))
async def make_key(wanted: NewKey, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(KeyMadeShown)]:
    """Make a key. `key` is shown this once: only its digest is kept.

    It opens no more than you may do; one for somebody else takes the scope `act_as` too.
    """
    user = wanted.user or who.id
    rights: dict[str, list[str]] = wanted.model_dump(include={"groups", "levels", "scopes"})
    check_gift(who, user, **rights)
    expires_at = None if wanted.days is None else time.time() + wanted.days * DAY_SECONDS
    record, key = await KeyStore(agent.engine).create(user, name=wanted.name, expires_at=expires_at, **rights)
    bus = await agent.container.get(EventBus)
    bus.publish(KeyMade(key_id=record.id, holder=record.user, scopes=record.scopes))
    return {**_shown(record), "key": key}


@router.delete("/{key_id}", responses=problems(KeyNotFound))
async def revoke_key(
    key_id: Annotated[str, Field(pattern=ID_PATTERN)], agent: OpenAgent
) -> Annotated[Json, Shape(KeyShown)]:
    """End a key now; in every process within a second."""
    record = await KeyStore(agent.engine).revoke(key_id)
    bus = await agent.container.get(EventBus)
    bus.publish(KeyRevoked(key_id=record.id, holder=record.user))
    return _shown(record)


def _shown(record: KeyRecord) -> dict[str, Any]:
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    words = ("groups", "levels", "scopes")
    return {
        "id": record.id,
        "name": record.name,
        "user": record.user,
        "state": record.state,
        **{name: list(getattr(record, name)) for name in words},
        **{name: _iso(getattr(record, name)) for name in times},
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
