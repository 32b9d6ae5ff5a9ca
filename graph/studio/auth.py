"""Logins and ownership under `langgraph dev`: the same ones as the service has.

`langgraph.json` names `auth`. In mode none nobody logs in: the run's form says
who asks, and everything is everybody's, as befits a developer's machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph_sdk import Auth

from core.access import Principal, has_scope, owner_seen_by, require
from core.database.engine import database_url
from core.errors import NotAllowed, WaystationError
from core.identity.authenticator import Authenticator, folded
from core.identity.opened import opened_authenticator
from core.settings import Book
from core.settings.platform import AuthSettings, StorageSettings
from graph.db.database import opened_database

auth = Auth()
_opened: dict[str, Authenticator] = {}
_CHANGES = frozenset({"create", "update", "create_run"})


@asynccontextmanager
async def opened_logins(book: Book) -> AsyncIterator[None]:
    """Hold what checks logins open for as long as the process serves."""
    if not book[AuthSettings].logins:
        yield
        return
    url = database_url(book[StorageSettings], book.context.places)
    async with (
        opened_database(url) as engine,
        opened_authenticator(book[AuthSettings], engine) as authenticator,
    ):
        _opened["authenticator"] = authenticator
        try:
            yield
        finally:
            _opened.clear()


@auth.authenticate
async def authenticate(scope: dict[str, Any]) -> Auth.types.MinimalUserDict:
    """Who sends a request; nobody in particular in mode none."""
    if "authenticator" not in _opened:
        return {"identity": "", "is_authenticated": False, "permissions": []}
    peer = scope.get("client")
    try:
        caller = await _opened["authenticator"].authenticate(
            folded(scope["headers"]), peer[0] if peer else ""
        )
        require(caller, "use")
    except WaystationError as error:
        status = 403 if isinstance(error, NotAllowed) else 401  # the server knows no other refusals
        raise Auth.exceptions.HTTPException(status, detail=error.detail) from error
    return user_of(caller)


def user_of(caller: Principal) -> Auth.types.MinimalUserDict:
    """A principal as the development server hands it to runs; `core.access` reads it there."""
    found: Any = {
        "identity": caller.id,
        "is_authenticated": True,
        "groups": sorted(caller.groups),
        "levels": sorted(caller.levels),
        "permissions": sorted(caller.scopes),
    }
    user: Auth.types.MinimalUserDict = found
    return user


def principal_of(user: Any) -> Principal:
    """The other way round."""
    groups, levels, scopes = (
        frozenset(getattr(user, name, ())) for name in ("groups", "levels", "permissions")
    )
    return Principal(user.identity, groups, levels, scopes)


@auth.on
async def refuse(ctx: Auth.types.AuthContext, value: Any) -> bool:
    """What has no rule of its own: schedules and the store, which this graph does not use."""
    return not ctx.user.is_authenticated


@auth.on.threads
async def own_threads(ctx: Auth.types.AuthContext, value: Any) -> dict[str, str] | None:
    """Threads and their runs belong to whoever made them."""
    if not ctx.user.is_authenticated:
        return None
    mine = {"owner": owner_seen_by(principal_of(ctx.user))}
    if ctx.action in _CHANGES:
        if value.get("metadata") is None:
            value["metadata"] = {}
        value["metadata"].update(mine)  # in place: the server goes on with its own object
    return mine


@auth.on.assistants
async def shared_assistants(ctx: Auth.types.AuthContext, value: Any) -> bool:
    """Everybody may look at assistants; to change them takes the scope `admin`."""
    if not ctx.user.is_authenticated or ctx.action in ("read", "search"):
        return True
    return has_scope(principal_of(ctx.user), "admin")
