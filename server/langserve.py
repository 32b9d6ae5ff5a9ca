"""LangServe under /agent: a facade Runnable, since a checkpointed graph itself must not be served.

The facade begins a run and waits for it or follows its events. Every error that
can be known before a stream starts is raised there, so that it becomes
problem+json; later ones are a typed `error` event, the last data of the stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from core.access import Principal
from core.errors import WaystationError
from graph.errors import problem_of
from graph.runs.rows import reply
from graph.runs.streams import Handle
from graph.turn.details import DETAILS
from server.facade import KEY, Facade, GetAgent, add_langserve
from server.requests import AgentInput, turn_request
from server.shapes.form import Json, Shape
from server.shapes.runs import CallRecord, Citation, Ended, FileRef, Interrupt, TokenUsage, TurnError
from server.sse import add_stream, event_namer, named_reply


class AgentOutput(BaseModel):
    """The reply of a turn; in a stream, each chunk is one event of the contract."""

    answer: str
    status: Annotated[str, Shape(Ended)]
    thread_id: str
    run_id: str
    citations: Annotated[list[Json], Shape(list[Citation])]
    files: Annotated[list[Json], Shape(list[FileRef])]
    tool_calls: Annotated[list[Json], Shape(list[CallRecord])]
    interrupts: Annotated[list[Json], Shape(list[Interrupt])]
    usage: Annotated[Json, Shape(TokenUsage)]
    error: Annotated[Json, Shape(TurnError)] = Field(
        default_factory=dict, description="In a batch: why this turn failed; empty where it did not"
    )


class AgentRunnable(Facade[AgentInput, dict[str, Any]]):
    """The agent as LangServe wants it: input in, reply out, events as a stream."""

    name = "agent"
    input_model = AgentInput
    output_model = AgentOutput

    async def begin(self, given: AgentInput, who: Principal, options: Mapping[str, Any]) -> Handle:
        return await self._agent().begin(turn_request(who, given, options, key=options.get(KEY)))

    def answer(self, given: AgentInput, run: Handle, reply: dict[str, Any]) -> dict[str, Any]:
        return named_reply(self._agent(), reply)

    def failed(self, error: WaystationError, run: Handle | None) -> dict[str, Any]:
        where = (run.thread_id, run.id) if run else ("", "")
        return {**reply(*where, status="failed"), "error": problem_of(error)}

    async def pieces(
        self, events: AsyncIterator[dict[str, Any]], run: Handle
    ) -> AsyncIterator[dict[str, Any]]:
        renamed = event_namer(self._agent())
        async for event in events:
            if event["type"] not in DETAILS:
                yield renamed(event) if renamed else event


def agent_router(agent: GetAgent) -> APIRouter:
    """The routes under /agent."""
    router = APIRouter()
    add_stream(router)
    add_langserve(router, AgentRunnable(agent), "/agent", playground_type="default")
    return router
