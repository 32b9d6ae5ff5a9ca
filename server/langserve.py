"""LangServe under /agent: a facade Runnable, since a checkpointed graph itself must not be served.

The facade begins a run and waits for it or follows its events. Every error that
can be known before a stream starts is raised there, so that it becomes
problem+json; later ones are a typed `error` event, the last data of the stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, get_config_list
from langserve import APIHandler, add_routes
from langserve.server import EndpointName
from pydantic import BaseModel, Field

from core.settings.platform import ServerSettings
from graph.service.handle import Handle
from server.middleware.auth import Caller, principal
from server.requests import (
    KEY,
    PRINCIPAL,
    AgentInput,
    check_agent_body,
    check_config,
    idempotency_key,
    json_body,
    last_event_id,
    turn_request,
    validated,
)
from server.served import GetAgent, Served, once
from server.sse import RunResponse
from server.waiting import add_waiting_routes

BATCH_AT_ONCE = 4
ENDPOINTS: tuple[EndpointName, ...] = (
    "invoke",
    "batch",
    "stream",
    "stream_log",
    "stream_events",
    "playground",
    "input_schema",
    "output_schema",
    "config_schema",
)


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


class AgentRunnable(Served[AgentInput, dict[str, Any]]):
    """The agent as LangServe wants it: input in, reply out, events as a stream."""

    name = "agent"

    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's name
        return AgentInput

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        return AgentOutput

    async def ainvoke(
        self,
        input: AgentInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        run = await self._begin(input, config)
        try:
            return await run.result()
        finally:
            run.leave()

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

    async def astream(
        self,
        input: AgentInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        run = await self._begin(input, config)

        async def events(_: AsyncIterator[AgentInput]) -> AsyncIterator[dict[str, Any]]:
            async for event in run.events():
                yield event

        try:
            # Through LangChain's helper, so that stream_log and stream_events see the run.
            async for event in self._atransform_stream_with_config(once(input), events, config):
                yield event
        finally:
            run.leave()

    async def _begin(self, given: AgentInput, config: RunnableConfig | None) -> Handle:
        wishes = ensure_config(config).get("configurable", {})
        request = turn_request(wishes[PRINCIPAL], given.model_dump(), wishes, key=wishes.get(KEY))
        return await self._agent().begin(request)


async def with_principal(config: dict[str, Any], request: Request) -> dict[str, Any]:
    """LangServe's per-request modifier: who asks comes from authentication, never from the body."""
    found = config.get("configurable") or {}
    # One key names one turn, and a batch has several.
    single = request.url.path.endswith("/invoke")
    key = idempotency_key(request.headers.get("idempotency-key")) if single else None
    return {"configurable": {**found, PRINCIPAL: await principal(request), KEY: key}}


def agent_router(agent: GetAgent) -> APIRouter:
    """The routes under /agent; ours stand before LangServe's of the same path, which stay for the docs."""
    router = APIRouter()
    facade = AgentRunnable(agent)
    handler = APIHandler(facade, path="/agent", per_req_config_modifier=with_principal)
    checks = [Depends(check_agent_body)]

    @router.post("/agent/stream", include_in_schema=False, dependencies=checks)
    async def stream(request: Request, who: Caller) -> Response:
        body = await json_body(request)
        given = validated(AgentInput, body["input"], "input").model_dump()
        wishes = check_config(body.get("config")).model_dump()
        key = idempotency_key(request.headers.get("idempotency-key"))
        after = last_event_id(request.headers.get("last-event-id"))
        handle = await agent().begin(turn_request(who, given, wishes, key=key))
        stall = agent().book[ServerSettings].stream_stall_seconds
        return RunResponse(handle, after=after, stall=stall)

    add_waiting_routes(router, "/agent", handler, checks)
    add_langserve(router, facade, "/agent", checks, playground_type="default")
    return router


def add_langserve(
    router: APIRouter,
    facade: Runnable[Any, Any],
    path: str,
    checks: list[Any],
    *,
    playground_type: Literal["default", "chat"],
) -> None:
    """LangServe's own routes, without those that need LangSmith or share links.

    On a router, not on the app: there LangServe would print its banner at start.
    """
    add_routes(
        router,
        facade,
        path=path,
        per_req_config_modifier=with_principal,
        enabled_endpoints=ENDPOINTS,
        enable_feedback_endpoint=False,
        enable_public_trace_link_endpoint=False,
        dependencies=checks,
        playground_type=playground_type,
    )

    # The pages ask for schemas under a hash of the chosen configuration. Ours do
    # not depend on it, so the hash is not looked at; runs under one do not exist.
    @router.get(f"{path}/c/{{config_hash}}/input_schema", include_in_schema=False)
    async def input_schema(config_hash: str) -> dict[str, Any]:
        return _schema(facade.get_input_schema())

    @router.get(f"{path}/c/{{config_hash}}/output_schema", include_in_schema=False)
    async def output_schema(config_hash: str) -> dict[str, Any]:
        return _schema(facade.get_output_schema())


def _schema(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = model.model_json_schema()
    return found
