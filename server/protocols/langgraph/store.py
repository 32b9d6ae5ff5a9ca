"""`/store`: small values that a client keeps for its user, who alone sees them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from core.errors import NotFound
from server.middleware.auth import Caller
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("langgraph", "/langgraph/store")

Label = Annotated[str, Field(max_length=64)]
Labels = Annotated[list[Label], Field(max_length=16)]
MOST = 1000


class ItemNotFound(NotFound):
    """There is nothing under this namespace and key, or its time is over."""

    code = "item_not_found"
    title = "There is no such item"


class _Body(BaseModel, extra="ignore"):
    """What clients send beside it is passed over."""


class NewItem(_Body):
    """An item. `index` is passed over: every word of a value is found."""

    namespace: Labels
    key: str
    value: dict[str, Any]
    ttl: Annotated[float, Field(allow_inf_nan=False)] | None = None


@router.put("/items", status_code=204)
async def put(body: NewItem, agent: OpenAgent, who: Caller) -> None:
    """Keep a value; `ttl` is in minutes."""
    await (await agent.items()).put(who, body.namespace, body.key, body.value, minutes=body.ttl)


@router.get("/items")
async def get(
    agent: OpenAgent,
    who: Caller,
    key: str,
    namespace: str = "",
    refresh_ttl: Annotated[str, Query(max_length=5)] = "true",
) -> dict[str, Any]:
    """An item; its namespace has full stops between the labels."""
    found = await (await agent.items()).get(who, namespace.split("."), key, refresh=_yes(refresh_ttl))
    if found is None:
        raise ItemNotFound(f"nothing is kept as '{key[:80]}' in '{namespace[:80]}'")
    return found


def _yes(given: str) -> bool:
    return given.lower() not in ("false", "0")


class NamedItem(_Body):
    """Which one."""

    namespace: Labels
    key: str


@router.delete("/items", status_code=204)
async def delete(body: NamedItem, agent: OpenAgent, who: Caller) -> None:
    """Remove an item, where there is one."""
    await (await agent.items()).delete(who, body.namespace, body.key)


class ItemSearch(_Body):
    """Which items are looked for."""

    namespace_prefix: Labels = []
    filter: dict[str, Any] | None = None
    query: str | None = Field(None, max_length=2000)
    limit: int = Field(10, ge=1, le=MOST)
    offset: int = Field(0, ge=0, le=2**31 - 1)
    refresh_ttl: bool | None = None


@router.post("/items/search")
async def search(body: ItemSearch, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """The items below a namespace, with `query` those that have words of it."""
    found = await (await agent.items()).search(
        who,
        body.namespace_prefix,
        fitting=body.filter,
        query=body.query or "",
        limit=body.limit,
        offset=body.offset,
        refresh=body.refresh_ttl is not False,
    )
    return {"items": found}


class NamespaceSearch(_Body):
    """Which namespaces are looked for."""

    prefix: Labels | None = None
    suffix: Labels | None = None
    max_depth: int | None = Field(None, ge=1, le=64)
    limit: int = Field(100, ge=1, le=MOST)
    offset: int = Field(0, ge=0, le=2**31 - 1)


@router.post("/namespaces")
async def namespaces(body: NamespaceSearch, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """The namespaces in which something is kept."""
    found = await (await agent.items()).namespaces(
        who,
        prefix=body.prefix or (),
        suffix=body.suffix or (),
        depth=body.max_depth,
        limit=body.limit,
        offset=body.offset,
    )
    return {"namespaces": found}
