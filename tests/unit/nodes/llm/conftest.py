"""A scripted server for the whole package, emptied before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from core.cache import Cache, CacheSettings
from core.resilience import Policies, ResilienceSettings
from nodes.llm import Catalogue, LLMCaller, Model
from nodes.llm.provider import connect
from nodes.llm.settings import LLMSettings, ModelEntry
from waystation.testing.model_server import ModelServer


@pytest.fixture(scope="package")
def running_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(running_server: ModelServer) -> ModelServer:
    running_server.reset()
    return running_server


def entry(url: str, **values: Any) -> ModelEntry:
    """An entry of models.yaml for a scripted server."""
    given = {"model_name": "scripted-1", "model_url": url, "api_key": SecretStr("sk-secret"), **values}
    return ModelEntry.model_validate(given)


def model(url: str, name: str = "main", **values: Any) -> Model:
    found = entry(url, **values)
    return Model(name, found, "", True, found.groups)


def policies(**numbers: Any) -> Policies:
    """Policies with short pauses, and these numbers for models."""
    return Policies(ResilienceSettings.model_validate({"model": {"backoff_s": 0.01, **numbers}}))


MakeCaller = Callable[..., LLMCaller]


@pytest.fixture
async def make_caller() -> AsyncIterator[MakeCaller]:
    """Makes callers over the given models, and closes them."""
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(Cache(CacheSettings()))

        def make(*models: Model, **options: Any) -> LLMCaller:
            catalogue = Catalogue({m.name: m for m in models})
            caller = LLMCaller(
                catalogue,
                lambda m: connect(m, LLMSettings(), cache),
                **{"policies": policies(), **options},
            )
            stack.push_async_callback(caller.aclose)
            return caller

        yield make
