"""Whose thread it is; and threads that are hidden while they come into being or go."""

from __future__ import annotations

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from core.access import Principal, owner_seen_by
from graph.db.tables import threads
from graph.errors import ThreadNotFound
from graph.runs.lease import check_id

# No user has a slash in the id: a thread under such an owner exists for nobody, and its id stays taken.
HIDDEN = "hidden/"
# The status of a hidden thread that has never been shown: nobody knows the files that came with it.
COMING = "coming"


def hidden(owner: str) -> str:
    """The owner of a thread that is being deleted, or is not yet whole."""
    return f"{HIDDEN}{owner}"


async def owned_row(db: AsyncConnection, principal: Principal, thread_id: str) -> RowMapping:
    """The row of the principal's thread.

    Raises:
        ThreadNotFound: There is none, or it is somebody else's.
    """
    mine = threads.c.owner == owner_seen_by(principal)
    query = select(threads).where(threads.c.id == check_id(thread_id), mine)
    row = (await db.execute(query)).mappings().first()
    if row is None:
        raise ThreadNotFound(thread_id)
    return row
