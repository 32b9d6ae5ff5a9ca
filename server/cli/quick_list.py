"""Lists that a command reads without opening the agent."""

# ruff: noqa: PLC0415 - slow imports stay inside, as in server.cli
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.callers import is_user

if TYPE_CHECKING:
    from core.settings import Book

_SQLITE = "sqlite:///"


def quick_threads(user: str, **wanted: Any) -> list[dict[str, Any]] | None:
    """The threads of a user; None where the agent has to be opened for it, which also says what is wrong.

    Args:
        user: By default that of the settings.
        wanted: As of `graph.threads.quick_list.list_in`.

    Raises:
        ConfigErrors: The configuration is not valid.
    """
    if user and not is_user(user):
        return None
    from core.identity.authenticator import local_principal
    from core.registry import discover, files_of, sections_of
    from core.settings import Context, read_book
    from core.settings.auth import AuthSettings
    from graph.threads.quick_list import list_in

    modules = discover()
    book = read_book(sections_of(modules), files_of(modules), Context.current())
    file = _file(book)
    return list_in(file, local_principal(book[AuthSettings], user).id, **wanted) if file else None


def _file(book: Book) -> Path | None:
    from core.settings.platform import StorageSettings

    url = book[StorageSettings].url
    if not url:
        return book.context.places.home / "waystation.db"
    plain = url.startswith(_SQLITE) and not set(url) & set("?%#")
    return Path(url.removeprefix(_SQLITE)) if plain else None
