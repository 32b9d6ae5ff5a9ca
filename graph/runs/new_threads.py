"""How threads come to be: their ids, their first row and title, and how many of them a user may have."""

from __future__ import annotations

import re
import secrets

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.access import Principal
from core.editions import Editions
from core.settings.platform import LimitSettings
from graph.db.tables import named, threads
from graph.errors import InvalidThreadId, ThreadTotalReached

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOCK = 0x7468_7264  # apart from other locks on texts


def is_id(value: object) -> bool:
    """True for 1 to 64 of A-Z a-z 0-9 _ -."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def check_id(value: str) -> str:
    """The id itself.

    Raises:
        InvalidThreadId: It is not 1 to 64 of A-Z a-z 0-9 _ -.
    """
    if not is_id(value):
        raise InvalidThreadId(f"'{value[:80]}' is not a valid id; use 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def new_id(prefix: str) -> str:
    """A fresh id that tells nothing: 16 random bytes behind a letter."""
    return f"{prefix}_{secrets.token_hex(16)}"


def new_thread(thread_id: str, principal: Principal, title: str, *, now: float) -> dict[str, object]:
    """A row for a thread that has had no turn."""
    return {
        "id": thread_id,
        "owner": principal.id,
        **named(title=title, tags=[]),
        "status": "idle",
        "turns": 0,
        "created_at": now,
        "updated_at": now,
        "dirty": False,
    }


def title_from(text: str) -> str:
    """The first line of a message, cut to 80 characters."""
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return line if len(line) <= 80 else line[:79] + "…"


class ThreadTotals:
    """Holds new threads to `limits.threads_per_user`; a thread that is there costs nothing."""

    def __init__(self, editions: Editions) -> None:
        self._editions = editions

    async def hold(self, db: AsyncConnection, owner: str, *, more: int = 0) -> None:
        """Asked by every place that makes a thread, in its transaction.

        Args:
            more: Threads that are about to come, beside those that stand in the database.

        Raises:
            ThreadTotalReached: The owner would have more than the setting allows.
        """
        most = self._editions.now().book[LimitSettings].threads_per_user
        if not most:
            return
        if db.dialect.name == "postgresql":
            # Threads that others are just making for the owner are not seen before they are there.
            await db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(owner, _LOCK))))
        count = select(func.count()).select_from(threads).where(threads.c.owner == owner)
        found = (await db.execute(count)).scalar_one() + more
        if found > most:
            raise ThreadTotalReached(
                f"you would have {found} threads; at most {most} are allowed "
                "(limits.threads_per_user): delete some, or go on with one that you have"
            )
