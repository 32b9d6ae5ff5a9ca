"""The lean client, over the scripted server and over an endpoint of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from nodes.llm.adapters.chat import ChatEndpoint
from tests.unit.nodes.llm.adapters.endpoint_kit import Endpoint
from tests.unit.nodes.llm.conftest import entry
from waystation.testing.model_server import ModelServer


@pytest.fixture
async def chat(server: ModelServer) -> AsyncIterator[ChatEndpoint]:
    made = ChatEndpoint("main", entry(server.url))
    yield made
    await made.aclose()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield found
    await runner.cleanup()
