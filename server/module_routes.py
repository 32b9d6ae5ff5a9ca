"""The routes that modules bring, each below `/<command>` of its module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts

from core.errors import ConfigInvalid
from core.registry import Module, loaded
from server.middleware.auth import Caller


async def given(request: Request, who: Caller) -> None:
    """Put what a module's route works with into `request.state`: `principal`, the caller, and `container`."""
    request.state.principal = who
    request.state.container = request.app.state.agent.container


def add_module_routes(app: FastAPI, modules: Iterable[Module]) -> None:
    """Serve the routes of the modules that run. The service's own paths are not theirs.

    Raises:
        ConfigInvalid: A module's word is the beginning of a path that is taken.
    """
    for module in modules:
        if module.routes is None:
            continue
        if module.command in set(_first_words(app.routes)):
            raise ConfigInvalid(
                f"the routes of the module '{module.name}' would stand below '/{module.command}', "
                "which the service has for itself; the module needs another command"
            )
        app.include_router(
            loaded(module.routes)(),
            prefix=f"/{module.command}",
            tags=[module.name],
            dependencies=[Depends(given)],
        )
    app.openapi_schema = None


def _first_words(routes: Any) -> Iterator[str]:
    for context in iter_route_contexts(routes):
        yield (context.path or "").strip("/").split("/")[0]
