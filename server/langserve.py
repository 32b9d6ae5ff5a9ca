"""LangServe under /agent: a facade Runnable, since a checkpointed graph itself must not be served.

The facade begins a run and waits for it or follows its events. Every error that
can be known before a stream starts is raised there, so that it becomes
problem+json; later ones are a typed `error` event, the last data of the stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list
from pydantic import BaseModel, Field

from core.access import Principal
from graph.runs.streams import Handle
from server.facade import KEY, Facade, GetAgent, add_langserve
from server.requests import AgentInput, turn_request
from server.sse import add_stream

BATCH_AT_ONCE = 4


class AgentOutput(BaseModel):
    """The reply of a turn; in a stream, each chunk is one event of the contract."""

    answer: str = ""
    status: str = Field("", description="done, interrupted, failed or cancelled")
    thread_id: str = ""
    run_id: str = ""
    citations: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    tool_calls: list[dict[str, Any]] = []
    interrupts: list[dict[str, Any]] = []
    usage: dict[str, Any] = {}


class AgentRunnable(Facade[AgentInput, dict[str, Any]]):
    """The agent as LangServe wants it: input in, reply out, events as a stream."""

    name = "agent"
    input_model = AgentInput
    output_model = AgentOutput

    async def begin(self, given: AgentInput, who: Principal, wishes: Mapping[str, Any]) -> Handle:
        return await self._agent().begin(turn_request(who, given, wishes, key=wishes.get(KEY)))

    def answer(self, given: AgentInput, run: Handle, reply: dict[str, Any]) -> dict[str, Any]:
        return reply

    def pieces(self, given: AgentInput, run: Handle) -> AsyncIterator[dict[str, Any]]:
        return run.events()

    async def abatch(
        self,
        inputs: list[AgentInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """A few turns at a time: all at once would pass the limit of turns per user."""
        few = [{**one, "max_concurrency": BATCH_AT_ONCE} for one in get_config_list(config, len(inputs))]
        return await super().abatch(inputs, few, return_exceptions=return_exceptions, **kwargs)  # type: ignore[arg-type]  # a config with one key more is a config


def agent_router(agent: GetAgent) -> APIRouter:
    """The routes under /agent."""
    router = APIRouter()

    add_stream(router, agent)
    add_langserve(router, AgentRunnable(agent), "/agent", playground_type="default")
    return router
