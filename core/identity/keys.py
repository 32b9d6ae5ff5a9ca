"""API keys: made once, shown once, kept as digests.

A key reads `wsk_<id>_<secret>`. The id finds the row; the secret has 256 random
bits, so a plain SHA-256 is enough: there is nothing to guess that hashing slowly
would protect.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.callers import SCOPES, is_user, is_word
from core.database.engine import now_of
from core.database.outage import DATABASE_ERRORS, uninterrupted
from core.errors import InvalidInput
from core.identity.authenticator import Credentials
from core.identity.errors import KeyNotFound, NotAuthenticated
from core.identity.tables import api_keys

PREFIX = "wsk_"
CACHE_SECONDS = 1.0
CACHED = 1000
USED_EVERY_SECONDS = 60.0
NAME_LENGTH = 200

_KEY = re.compile(r"wsk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = "0" * 64
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key; never the key. Times are seconds since 1970."""

    id: str
    name: str
    user: str
    groups: tuple[str, ...]
    levels: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    @property
    def state(self) -> str:
        """valid, expired or revoked."""
        return self.state_at(time.time())

    def state_at(self, now: float) -> str:
        """As `state`, at this time."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"

    @property
    def principal(self) -> Principal:
        return Principal(
            self.user, frozenset(self.groups), frozenset(self.levels), frozenset(self.scopes) & SCOPES
        )


class KeyStore:
    """The keys in the database at `engine`; also the login by one of them.

    Args:
        cache_s: How long a key may be used without looking at the database again.
    """

    def __init__(self, engine: AsyncEngine, *, cache_s: float = CACHE_SECONDS) -> None:
        self._engine = engine
        self._cache_s = cache_s
        self._read: OrderedDict[str, tuple[float, KeyRecord, str]] = OrderedDict()
        self._noted: dict[str, float] = {}
        self._notes: set[asyncio.Task[None]] = set()

    @uninterrupted
    async def create(
        self,
        user: str,
        *,
        name: str = "",
        groups: Iterable[str] = (),
        levels: Iterable[str] = (),
        scopes: Iterable[str] = ("use",),
        expires_at: float | None = None,
    ) -> tuple[KeyRecord, str]:
        """A new key, and what it was made as: the only time that the key itself is seen.

        Raises:
            InvalidInput: A user, group, level or scope that cannot be one, or an expiry in the past.
        """
        record = KeyRecord(
            id=secrets.token_hex(8),
            name=name[:NAME_LENGTH],
            user=user,
            groups=tuple(dict.fromkeys(groups)),
            levels=tuple(dict.fromkeys(levels)),
            scopes=tuple(dict.fromkeys(scopes)),
            created_at=now_of(self._engine),
            expires_at=expires_at,
        )
        _check(record)
        secret = secrets.token_urlsafe(32)
        row = {c.name: getattr(record, c.name) for c in api_keys.columns if c.name != "digest"}
        lists = {field: list(row[field]) for field in ("groups", "levels", "scopes")}
        async with self._engine.begin() as db:
            await db.execute(insert(api_keys).values({**row, **lists, "digest": _digest(secret)}))
        return record, f"{PREFIX}{record.id}_{secret}"

    async def list(self) -> list[KeyRecord]:
        """Every key, the newest first."""
        query = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        async with self._engine.connect() as db:
            return [_record(row) for row in (await db.execute(query)).mappings()]

    @uninterrupted
    async def revoke(self, key_id: str) -> KeyRecord:
        """End a key now; in every process within a second.

        Raises:
            KeyNotFound: No key has this id.
        """
        async with self._engine.begin() as db:
            await db.execute(
                update(api_keys)
                .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=now_of(db))
            )
            row = (await db.execute(select(api_keys).where(api_keys.c.id == key_id))).mappings().first()
        self._read.pop(key_id, None)
        if row is None:
            raise KeyNotFound(f"no key '{key_id[:40]}'; waystation keys list shows them")
        return _record(row)

    async def principal(self, given: Credentials) -> Principal | None:
        """Login by key; None for tokens that are no key of ours."""
        token = given.token
        if not token.startswith(PREFIX):
            return None
        parts = _KEY.fullmatch(token)
        found = await self._found(parts[1]) if parts else None
        record, digest = found or (None, _NO_DIGEST)
        fits = hmac.compare_digest(_digest(parts[2] if parts else ""), digest)
        if record is None or not fits or record.state_at(now_of(self._engine)) != "valid":
            raise NotAuthenticated("this key is unknown, expired or revoked; ask for a new one", given=True)
        self._note_use(record)
        return record.principal

    async def holder(self, key_id: str) -> Principal:
        """Whom the key with this id stands for, while it is valid; for whoever has shown it before.

        Raises:
            NotAuthenticated: It has expired or was revoked.
        """
        found = await self._found(key_id)
        if found is None or found[0].state_at(now_of(self._engine)) != "valid":
            raise NotAuthenticated(
                "the key of this login has expired or was revoked; log in again", given=True
            )
        self._note_use(found[0])
        return found[0].principal

    async def aclose(self) -> None:
        """Wait for what is still being noted."""
        if self._notes:
            await asyncio.wait(self._notes)

    async def _found(self, key_id: str) -> tuple[KeyRecord, str] | None:
        at, record, digest = self._read.get(key_id, (float("-inf"), None, ""))
        if record is not None and time.monotonic() - at < self._cache_s:
            return record, digest
        asked = time.monotonic()
        async with self._engine.connect() as db:
            row = (await db.execute(select(api_keys).where(api_keys.c.id == key_id))).mappings().first()
        if row is None:
            return None  # not kept: anybody can make up ids
        found = _record(row), str(row["digest"])
        self._read[key_id] = (asked, *found)
        while len(self._read) > CACHED:
            self._read.popitem(last=False)
        return found

    def _note_use(self, record: KeyRecord) -> None:
        """Beside the request: it does not wait for a database that is being written to."""
        now = now_of(self._engine)
        if now - max(self._noted.get(record.id, 0.0), record.last_used_at or 0.0) < USED_EVERY_SECONDS:
            return
        self._noted[record.id] = now
        task = asyncio.create_task(self._used(record.id, now))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    @uninterrupted
    async def _used(self, key_id: str, now: float) -> None:
        # The condition holds between processes: each knows only its own last note.
        stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= now - USED_EVERY_SECONDS)
        try:
            async with self._engine.begin() as db:
                await db.execute(
                    update(api_keys).where(api_keys.c.id == key_id, stale).values(last_used_at=now)
                )
        except DATABASE_ERRORS as error:
            log.warning("key_use_not_noted", key=key_id, reason=type(error).__name__)


def id_of(token: str) -> str:
    """The id in a key; "" where the token is none."""
    parts = _KEY.fullmatch(token)
    return parts[1] if parts else ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _record(row: Mapping[Any, Any]) -> KeyRecord:
    found: dict[str, Any] = {}
    for name in KeyRecord.__dataclass_fields__:
        found[name] = tuple(row[name]) if isinstance(row[name], list) else row[name]
    return KeyRecord(**found)


def _check(record: KeyRecord) -> None:
    if not is_user(record.user):
        raise InvalidInput(
            f"'{record.user[:80]}' cannot be a user; use 1 to 128 of A-Z a-z 0-9 _ . @ : | + -"
        )
    for what, given in (("group", record.groups), ("level", record.levels)):
        wrong = next((word for word in given if not is_word(word)), None)
        if wrong is not None:
            raise InvalidInput(f"'{wrong[:80]}' cannot be a {what}; use up to 128 characters and no comma")
    unknown = [scope for scope in record.scopes if scope not in SCOPES]
    if unknown:
        raise InvalidInput(f"no scope '{unknown[0][:80]}'; known: {', '.join(sorted(SCOPES))}")
    if record.expires_at is not None and record.expires_at <= record.created_at:
        raise InvalidInput("the key would have expired already; give a later time")
