"""A service whose optional modules are off or broken: it works, and says what is missing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dishka import Provider, Scope, provide

from core.access import Principal
from core.errors import ConfigInvalid, Unavailable
from core.health import HealthState
from core.lifecycle import ModuleNotStarted, Phase
from graph import Agent
from nodes.llm import LLMCaller
from nodes.rag import RAGClient, RagSettings
from tests.kit.http import client_of, served
from waystation.testing.agents import context_at

OFF = {"disabled": ["rag", "mcp_tools"]}


class BrokenRetrieval(Provider):
    scope = Scope.APP

    @provide(override=True)
    async def client(self) -> AsyncIterator[RAGClient]:
        raise Unavailable("the index is on a disk that is gone")
        yield


class BrokenModels(Provider):
    scope = Scope.APP

    @provide(override=True)
    async def caller(self) -> AsyncIterator[LLMCaller]:
        raise Unavailable("no endpoint")
        yield


async def test_a_turn_works_without_retrieval_and_tools(tmp_path: Path) -> None:
    async with Agent.open(context_at(tmp_path, modules=OFF)) as agent:
        reply = await agent.ask("What is 5 + 3?", thread="t1")
        found = await agent.threads.history(Principal("local"), "t1", limit=100)
        phases = {found.module.name: found.phase for found in agent.module_states}
        report = await agent.health.report()
    assert reply["status"] == "done"
    assert reply["tool_calls"] == []
    # As short as with them: what stands in for a module is no step of somebody else.
    assert [point["next"] for point in found["checkpoints"]] == [[], ["call_model"], ["__start__"]]
    assert phases["rag"] is phases["mcp_tools"] is Phase.DISABLED
    assert "rag" not in report


async def test_the_catalogue_of_a_module_that_is_off_is_empty(tmp_path: Path) -> None:
    async with (
        Agent.open(context_at(tmp_path, modules=OFF)) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        for path in ("/sources", "/servers", "/tools"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (200, [])


async def test_an_optional_module_that_does_not_start_leaves_the_service_up_and_degraded(
    tmp_path: Path,
) -> None:
    async with Agent.open(context_at(tmp_path), providers=[BrokenRetrieval()]) as agent:
        reply = await agent.ask("What is 5 + 3?")
        report = await agent.health.report()
        assert await agent.health.ready()
        assert await agent.health.overall() is HealthState.DEGRADED
    assert reply["answer"] == "5 + 3 = 8"
    assert report["rag"].state is HealthState.FAILED
    assert report["rag"].reason == "it did not start: the index is on a disk that is gone"
    assert report["rag"].since is not None


async def test_a_required_module_that_does_not_start_stops_it_with_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotStarted, match="the module 'llm' did not start: no endpoint"):
        async with Agent.open(context_at(tmp_path), providers=[BrokenModels()]):
            pass


class ClosingRetrieval(Provider):
    scope = Scope.APP

    def __init__(self, closed: list[str]) -> None:
        super().__init__()
        self._closed = closed

    @provide(override=True)
    async def client(self) -> AsyncIterator[RAGClient]:
        yield RAGClient({}, RagSettings())
        self._closed.append("retrieval")


async def test_a_start_that_fails_behind_the_modules_closes_what_they_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where the extra `otel` is missing.
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    closed: list[str] = []
    context = context_at(tmp_path, telemetry={"otlp_endpoint": "http://127.0.0.1:9"})
    with pytest.raises(ConfigInvalid, match="OTLP needs the extra 'otel'"):
        async with Agent.open(context, providers=[ClosingRetrieval(closed)]):
            pass
    assert closed == ["retrieval"]


async def test_a_required_module_cannot_be_switched_off(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no turn works without the module 'llm'"):
        async with Agent.open(context_at(tmp_path, modules={"disabled": ["llm"]})):
            pass
