"""Real clients against real services: processes on a scripted model that all files here share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.kit.clients import service_on
from tests.kit.pages import Pages
from waystation.testing.model_server import ModelServer
from waystation.testing.service import Service

APPROVAL = '{"calculator": {"require_approval": ["*"]}}'


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Service]:
    """The bundled calculator, one small source, a login for nobody."""
    with service_on(tmp_path_factory.mktemp("clients"), _model_server.url) as service:
        yield service


@pytest.fixture(scope="session")
def pages() -> Iterator[Pages]:
    """Pages of an origin that is not the service's."""
    with Pages().served() as pages:
        yield pages


@pytest.fixture(scope="session")
def asking_service(
    tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer, pages: Pages
) -> Iterator[Service]:
    """One whose calculator asks a person, unless the caller says otherwise; `pages` may call it."""
    settings = {
        "MCP__CALLERS_MAY_LOWER_APPROVAL": "true",
        "SERVER__CORS_ORIGINS": json.dumps([pages.url]),
    }
    folder = tmp_path_factory.mktemp("asking")
    with service_on(folder, _model_server.url, files={"mcp.json": APPROVAL}, **settings) as service:
        yield service


@pytest.fixture
async def sdk(asking_service: Service) -> AsyncIterator[LangGraphClient]:
    """LangGraph's client of that service."""
    async with get_client(url=f"{asking_service.url}/langgraph", api_key=None) as client:
        yield client


@pytest.fixture
async def thread(sdk: LangGraphClient) -> str:
    """A thread of its own for a test."""
    return str((await sdk.threads.create())["thread_id"])


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    """The package of OpenAI, on our wire of its API."""
    with (
        openai.DefaultHttpxClient(trust_env=False, timeout=120) as http,
        openai.OpenAI(
            base_url=f"{service.url}/v1", api_key="none", http_client=http, max_retries=0
        ) as client,
    ):
        yield client
