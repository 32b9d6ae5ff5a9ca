"""How many threads a user may have."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.settings.book import Editions
from core.settings.platform import LimitSettings
from graph.db.tables import threads
from graph.errors import ThreadTotalReached

_LOCK = 0x7468_7264  # apart from other locks on texts


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
