"""The database, for whoever keeps something in it."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator

from dishka import Provider, Scope, provide
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import database_url, session_of
from core.settings import Book, Places
from core.settings.platform import StorageSettings
from graph.db.database import opened_database


class Storage(Provider):
    """One engine on the database of `storage.url`, at the newest revision."""

    scope = Scope.APP

    @provide
    async def engine(self, book: Book, places: Places) -> AsyncIterator[AsyncEngine]:
        settings = book[StorageSettings]
        url = database_url(settings, places)
        async with opened_database(url, session=session_of(settings)) as engine:
            yield engine
