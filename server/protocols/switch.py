"""The routers of protocols: each asks first whether `server.protocols` has the protocol on."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from fastapi import APIRouter, Depends

from core.settings.platform import Protocol, ServerSettings
from server.errors import RouteNotFound
from server.routes.common import OpenAgent


def wire_router(name: Protocol, prefix: str = "") -> APIRouter:
    """A router of a protocol, whole from the beginning: `server.routing` says why.

    Its routes stay out of `/openapi.json`: the protocol's own documentation describes them.

    Args:
        prefix: What its paths begin with.
    """
    return APIRouter(prefix=prefix, include_in_schema=False, dependencies=[Depends(_CHECKS[name])])


def _switched_on(name: Protocol) -> Callable[[OpenAgent], None]:
    """A FastAPI dependency that refuses where the protocol is switched off.

    The settings are known when the agent is open, which may be after the routes were made.
    """

    def check(agent: OpenAgent) -> None:
        if name not in agent.book[ServerSettings].protocols:
            raise RouteNotFound(f"the protocol '{name}' is switched off here; server.protocols leaves it out")

    return check


_CHECKS: dict[Protocol, Callable[[OpenAgent], None]] = {
    name: _switched_on(name) for name in get_args(Protocol)
}
