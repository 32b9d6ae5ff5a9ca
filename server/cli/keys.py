"""`waystation keys`: the API keys of callers. Whoever may read the database may make them."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli import JsonFlag, command, make_app, show

if TYPE_CHECKING:
    from core.identity.keys import KeyRecord, KeyStore

keys = make_app("keys")
DAY_SECONDS = 86_400


@asynccontextmanager
async def opened_keys() -> AsyncIterator[KeyStore]:
    """The keys of this configuration's database."""
    from core.database.engine import database_url
    from core.identity.keys import KeyStore
    from core.settings import Context, read_book
    from core.settings.platform import SECTIONS, StorageSettings
    from graph.db.database import opened_database

    context = Context.current()
    book = read_book(SECTIONS, (), context, partial=True)
    async with opened_database(database_url(book[StorageSettings], context.places)) as engine:
        yield KeyStore(engine)


@keys.command("create")
@command
async def create_command(
    user: Annotated[str, typer.Option("--user", help="Who its bearer is.")],
    *,
    name: Annotated[str, typer.Option(help="What it is for; people read it in the list.")] = "",
    group: Annotated[list[str] | None, typer.Option(help="A group of the user; may be repeated.")] = None,
    level: Annotated[list[str] | None, typer.Option(help="A compliance level; may be repeated.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="use, operate, admin or act_as; may be repeated. Default: use.")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.0001, help="Until it expires; default: never.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key and print it, this once: only its digest is kept."""
    async with opened_keys() as store:
        record, key = await store.create(
            user,
            name=name,
            groups=group or (),
            levels=level or (),
            scopes=scope or ("use",),
            expires_at=None if days is None else time.time() + days * DAY_SECONDS,
        )
    show({**shown(record), "key": key}, as_json=as_json, text=key)
    if not as_json:
        print(f"key {record.id} of {record.user}; it is shown only now", file=sys.stderr)


@keys.command("list")
@command
async def list_command(*, as_json: JsonFlag = False) -> None:
    """Every key without its secret, the newest first."""
    async with opened_keys() as store:
        found = [shown(record) for record in await store.list()]
    columns = ("id", "name", "user", "groups", "levels", "scopes", "state", "expires_at", "last_used_at")
    show(found, as_json=as_json, table=columns, empty="no keys")


@keys.command("revoke")
@command
async def revoke_command(
    key_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")], *, as_json: JsonFlag = False
) -> None:
    """End a key, in every running service within a second."""
    async with opened_keys() as store:
        record = await store.revoke(key_id)
    show(shown(record), as_json=as_json, text=f"revoked {record.id} of {record.user}")


def shown(record: KeyRecord) -> dict[str, Any]:
    """A key as commands tell of it: all but the key."""
    return {
        "id": record.id,
        "name": record.name,
        "user": record.user,
        "groups": list(record.groups),
        "levels": list(record.levels),
        "scopes": list(record.scopes),
        "state": record.state,
        "created_at": _time(record.created_at),
        "expires_at": _time(record.expires_at),
        "revoked_at": _time(record.revoked_at),
        "last_used_at": _time(record.last_used_at),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
