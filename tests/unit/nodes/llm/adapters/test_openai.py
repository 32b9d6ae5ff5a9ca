"""What the endpoint is told and what is kept of what it says; the contract suite has the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from core.cache import Cache, CacheSettings
from core.observability import REGISTRY, clean, start_telemetry, turn_span
from core.settings.platform import TelemetrySettings
from nodes.llm import LLMRequest
from nodes.llm.adapters.openai import OpenAIModel
from nodes.llm.errors import ModelRefused
from nodes.llm.models import ASK_ENDPOINT
from tests.kit.otlp_server import OtlpServer
from tests.unit.nodes.llm.conftest import MakeCaller, entry, model
from waystation.testing.model_server import ModelServer, refuse, say


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    async with Cache(CacheSettings()) as cache:
        yield cache


async def say_hi(chat: OpenAIModel) -> None:
    assert [chunk async for chunk in chat.stream([HumanMessage("hi")])]


def looked_up(result: str) -> float:
    found = REGISTRY.get_sample_value("waystation_cache_total", {"kind": "models", "result": result})
    return found or 0.0


async def test_what_the_endpoint_serves_is_asked_once_for_all_who_know_the_same_key(
    server: ModelServer, cache: Cache
) -> None:
    first, second, other = (
        OpenAIModel("main", entry(server.url, model_name=ASK_ENDPOINT, api_key=SecretStr(key)), cache=cache)
        for key in ("sk-secret", "sk-secret", "sk-other")
    )
    misses, hits = looked_up("miss"), looked_up("hit")
    for chat in (first, first, second, other):
        await say_hi(chat)
    for chat in (first, second, other):
        await chat.aclose()
    # Who asked just now does not ask the cache either.
    assert (looked_up("miss") - misses, looked_up("hit") - hits) == (2, 1)
    assert {request["model"] for request in server.requests()} == {"scripted-1"}


async def test_an_endpoint_that_serves_another_model_now_is_asked_again(
    server: ModelServer, cache: Cache
) -> None:
    chat = OpenAIModel("main", entry(server.url, model_name=ASK_ENDPOINT), cache=cache)
    await say_hi(chat)
    server.script(refuse(404))
    server.configure(model="scripted-2")
    with pytest.raises(ModelRefused, match="404"):
        await say_hi(chat)
    await say_hi(chat)
    server.configure(model="scripted-1")
    assert server.requests()[-1]["model"] == "scripted-2"
    await chat.aclose()


async def test_an_endpoint_that_serves_nothing_yet_is_not_remembered_for_it(
    server: ModelServer, cache: Cache
) -> None:
    chat = OpenAIModel("main", entry(server.url, model_name=ASK_ENDPOINT), cache=cache)
    server.configure(models_status=404)
    with pytest.raises(ModelRefused, match="names no model"):
        await say_hi(chat)
    server.configure(models_status=200)
    await say_hi(chat)
    await chat.aclose()


async def test_keys_and_secret_headers_never_reach_a_log(server: ModelServer) -> None:
    headers = {"X-Api-Key": "tartan-otter", "X-Team": "harbour-office"}
    chat = OpenAIModel("main", entry(server.url, api_key=SecretStr("plain-words-key"), extra_headers=headers))
    await chat.aclose()
    assert clean("plain-words-key of harbour-office is tartan-otter") == "*** of harbour-office is ***"


async def test_a_call_is_a_span_and_the_trace_is_not_told_to_the_endpoint(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(say("Hello there", usage={"prompt_tokens": 7, "completion_tokens": 3}))
    with OtlpServer() as collector:
        telemetry = start_telemetry(TelemetrySettings(otlp_endpoint=collector.url, metrics=False))
        with turn_span():
            await make_caller(model(server.url)).call(LLMRequest(messages=[HumanMessage("hi")]))
        telemetry.stop(seconds=10)
        (span,) = [span for span in collector.spans if span.name == "chat scripted-1"]
    assert span.parent_id
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert span.attributes["gen_ai.response.model"] == "scripted-1"
    assert span.attributes["gen_ai.usage.input_tokens"] == 7
    assert span.attributes["gen_ai.usage.output_tokens"] == 3
    assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] < 30
    assert "hello" not in str(span).lower()
    assert "traceparent" not in server.headers()[-1]
