"""Where the routes of modules stand, and what they are given."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from dishka import AsyncContainer, Provider, Scope, make_async_container
from fastapi import APIRouter, FastAPI, Request

from core.access import Principal
from core.cli import make_app
from core.errors import ConfigInvalid
from core.health import Health, healthy
from core.registry import Module
from server import errors
from server.app import create_app
from server.module_routes import add_module_routes
from tests.kit.http import assert_problem
from waystation.testing.parts import routes_of


async def check(_: AsyncContainer) -> Health:
    return healthy()


def _routes() -> APIRouter:
    router = APIRouter()

    @router.get("/given")
    async def given(request: Request) -> dict[str, str]:
        return {"who": request.state.principal.id, "word": await request.state.container.get(str)}

    return router


HATS = Module(
    name="hats",
    summary="",
    version="0.1.0",
    command="hats",
    cli=make_app("hats", ""),
    provider=lambda: Provider(scope=Scope.APP),
    check=check,
    routes=_routes,
)


async def test_a_route_finds_its_caller_and_the_container() -> None:
    words = Provider(scope=Scope.APP)
    words.provide(lambda: "felt", provides=str)
    async with routes_of(HATS, make_async_container(words), Principal("ada")) as http:
        assert (await http.get("/hats/given")).json() == {"who": "ada", "word": "felt"}


async def test_a_request_that_came_by_no_gate_is_not_let_in() -> None:
    app = FastAPI()
    app.state.agent = None
    errors.install(app)
    add_module_routes(app, [HATS])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        assert_problem(await http.get("/hats/given"), 401, "not_authenticated")


@pytest.mark.parametrize("word", ["agent", "files", "health", "docs", "openapi.json"])
def test_a_module_cannot_stand_where_the_service_does(word: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"module 'hats' would stand below '/{word}'"):
        add_module_routes(create_app(), [replace(HATS, command=word)])


@pytest.mark.slow
def test_the_description_has_the_routes_of_modules_that_came_later() -> None:
    app = create_app()
    assert "/hats/given" not in app.openapi()["paths"]
    add_module_routes(app, [replace(HATS, name="silent", command="silent", routes=None), HATS])
    assert app.openapi()["paths"]["/hats/given"]["get"]["tags"] == ["hats"]
