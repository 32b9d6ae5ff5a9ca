"""LangServe over the open agent: a Runnable whose calls are turns, and LangServe's routes for it.

Its handlers are given what they lack: early errors as problem+json, and an ear for a dropped line.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

from fastapi import APIRouter, Depends, Request, Response
from langchain_core.callbacks import AsyncCallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, get_config_list
from langchain_core.runnables.utils import ConfigurableFieldSpec
from langchain_core.tracers.log_stream import LogStreamCallbackHandler, _astream_log_implementation
from langserve import APIHandler, add_routes
from langserve.server import EndpointName
from pydantic import BaseModel, Field

from core.access import Principal
from core.choices import CHOICES, EVERY, Approval
from core.errors import WaystationError
from graph.agent import Agent
from graph.runs.record import OnBusy, OnDisconnect
from graph.runs.streams import Handle
from server.callbacks import heard
from server.errors import CLIENT_WENT_AWAY
from server.middleware.auth import principal
from server.requests import checked_inputs, idempotency_key
from server.sse import disconnected

PRINCIPAL = "principal"
KEY = "idempotency_key"
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

GetAgent = Callable[[], Agent]
In = TypeVar("In")
Out = TypeVar("Out")


def _undecided(schema: dict[str, Any]) -> None:
    """Leave the null default out of the schema: a form takes it for a value, and for a wrong one."""
    schema.pop("default", None)


def _spec(name: str, kind: Any, description: str, default: Any = None) -> ConfigurableFieldSpec:
    return ConfigurableFieldSpec(
        id=name,
        annotation=kind if default is not None else Annotated[kind, Field(json_schema_extra=_undecided)],
        name=name.replace("_", " ").capitalize(),
        description=description,
        default=default,
    )


def config_specs(*, approval: Approval) -> list[ConfigurableFieldSpec]:
    """The allow-list as LangServe's schemas and playgrounds show it.

    Plain types, no unions: LangServe's playground goes blank on those.

    Args:
        approval: What the caller chooses who says nothing.
    """
    defaults: dict[str, Any] = {"approval": approval}
    chosen = [
        _spec(name, each.kind, each.description, [EVERY] if each.names else defaults.get(name))
        for name, each in CHOICES.items()
    ]
    return [
        _spec("thread_id", str, "Conversation to continue; none starts a new one."),
        *chosen,
        _spec("on_disconnect", OnDisconnect, "What a dropped connection does to the turn.", "cancel"),
        _spec("on_busy", OnBusy, "When the thread is busy or waits: reject, enqueue, interrupt.", "reject"),
    ]


class Facade(Runnable[In, Out]):
    """Base of the facades: a run is begun, and waited for or followed.

    Args:
        agent: Gives the open agent; called once per turn.
    """

    approval: Approval = "ask"
    input_model: type[BaseModel]
    output_model: type[BaseModel]

    def __init__(self, agent: GetAgent) -> None:
        self._agent = agent

    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's name
        return self.input_model

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        return self.output_model

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return config_specs(approval=self.approval)

    @abstractmethod
    async def begin(self, given: In, who: Principal, options: Mapping[str, Any]) -> Handle:
        """Begin the turn. What can be known to be wrong of it is raised here, and becomes problem+json."""

    @abstractmethod
    def answer(self, given: In, run: Handle, reply: dict[str, Any]) -> Out:
        """The answer of a turn."""

    @abstractmethod
    def failed(self, error: WaystationError, run: Handle | None) -> Out:
        """What stands in the place of an answer in a batch; `run` where it had begun."""

    @abstractmethod
    def pieces(self, events: AsyncIterator[dict[str, Any]], run: Handle) -> AsyncIterator[Out]:
        """The answer as it comes, made of the events of its run."""

    async def _begun(self, given: In, config: RunnableConfig | None) -> Handle:
        options = ensure_config(config).get("configurable", {})
        return await self.begin(given, cast(Principal, options[PRINCIPAL]), options)

    def invoke(self, input: In, config: RunnableConfig | None = None, **kwargs: Any) -> Out:  # noqa: A002 - LangChain's name
        return asyncio.run(self.ainvoke(input, config, **kwargs))

    async def ainvoke(self, input: In, config: RunnableConfig | None = None, **kwargs: Any) -> Out:  # noqa: A002 - LangChain's name
        run = await self._begun(input, config)
        try:
            return self.answer(input, run, await run.result())
        finally:
            run.leave()

    async def abatch(
        self,
        inputs: list[In],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Out]:
        """Each answer, or what went wrong with that turn, in its place: the wire has no other for errors.

        A few turns at a time: all at once would pass the limit of turns per user.

        Args:
            return_exceptions: Have errors as exceptions. LangServe's clients cannot ask for that.

        Raises:
            WaystationError: None of the turns could begin.
        """
        few = asyncio.Semaphore(BATCH_AT_ONCE)

        async def one(
            given: In, own: RunnableConfig
        ) -> tuple[Out | None, WaystationError | None, Handle | None]:
            run: Handle | None = None
            async with few:
                try:
                    run = await self._begun(given, own)
                    return self.answer(given, run, await run.result()), None, run
                except WaystationError as error:
                    return None, error, run
                finally:
                    if run is not None:
                        run.leave()

        found = await asyncio.gather(*map(one, inputs, get_config_list(config, len(inputs))))
        if found and not return_exceptions and not any(run for _, _, run in found):
            raise next(error for _, error, _ in found if error is not None)
        return [
            cast(Out, out)
            if error is None
            else cast(Out, error)
            if return_exceptions
            else self.failed(error, run)
            for out, error, run in found
        ]

    async def astream(
        self,
        input: In,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Out]:
        run = await self._begun(input, config)

        def pieces(_: AsyncIterator[In], run_manager: AsyncCallbackManagerForChainRun) -> AsyncIterator[Out]:
            return self.pieces(heard(run.events(), run_manager), run)

        try:
            # Through LangChain's helper, so that stream_log and stream_events see the run.
            async for piece in self._atransform_stream_with_config(_only(input), pieces, config):
                yield piece
        finally:
            run.leave()

    async def astream_log(
        self,
        input: Any,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        diff: bool = True,
        with_streamed_output_list: bool = True,
        **filters: Any,
    ) -> AsyncIterator[Any]:
        """LangChain's own warns at each call that it will go; LangServe's playground lives on it."""
        log = LogStreamCallbackHandler(auto_close=False, _schema_format="original", **filters)
        patches: Any = _astream_log_implementation(  # type: ignore[call-overload]  # diff is not known here
            self, input, config, diff=diff, stream=log, with_streamed_output_list=with_streamed_output_list
        )
        async for patch in patches:
            yield patch


async def _only(value: In) -> AsyncIterator[In]:
    yield value


async def with_principal(config: dict[str, Any], request: Request) -> dict[str, Any]:
    """LangServe's per-request modifier: who asks comes from authentication, never from the body."""
    found = config.get("configurable") or {}
    # One key names one turn, and a batch has several.
    single = request.url.path.endswith("/invoke")
    key = idempotency_key(request.headers.get("idempotency-key")) if single else None
    return {"configurable": {**found, PRINCIPAL: await principal(request), KEY: key}}


def add_langserve(
    router: APIRouter,
    facade: Facade[Any, Any],
    path: str,
    *,
    playground_type: Literal["default", "chat"],
) -> None:
    """LangServe's routes for a facade, without those that need LangSmith or share links.

    Our versions of the working ones stand before LangServe's of the same path, which stay for the docs.
    On a router, not on the app: there LangServe would print its banner at start.
    """
    checks = [Depends(checked_inputs(facade.input_model))]
    handler = APIHandler(facade, path=path, per_req_config_modifier=with_principal)
    ours = {
        "invoke": _plain(handler.invoke),
        "batch": _plain(handler.batch),
        "stream": _stream(handler.stream),
        "stream_log": _stream(handler.stream_log),
        "stream_events": _stream(handler.astream_events),
    }
    for name, answer in ours.items():
        router.post(f"{path}/{name}", include_in_schema=False, dependencies=checks)(answer)
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
        return facade.get_input_jsonschema()

    @router.get(f"{path}/c/{{config_hash}}/output_schema", include_in_schema=False)
    async def output_schema(config_hash: str) -> dict[str, Any]:
        return facade.get_output_jsonschema()


def _plain(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        return await while_connected(request, answer(request))

    return route


def _stream(answer: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        return await started(answer(request))

    return route


async def while_connected(request: Request, work: Awaitable[Response]) -> Response:
    """The answer of `work`; cancels it when the client goes away, which LangServe's invoke does not."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return Response(status_code=CLIENT_WENT_AWAY)
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def started(work: Awaitable[Any]) -> Response:
    """A streaming answer that has begun.

    LangServe sends its 200 before it looks at the first item and masks whatever
    goes wrong. Here the first item is taken before the status goes out, so an
    error of the start is raised as itself.
    """
    response: Any = await work
    items: AsyncIterator[dict[str, Any]] = response.body_iterator
    first = await anext(items)
    if first.get("event") == "error":
        await anext(items)  # raises what LangServe has masked
    response.body_iterator = _joined(first, items)
    found: Response = response
    return found


async def _joined(first: dict[str, Any], rest: Any) -> AsyncIterator[dict[str, Any]]:
    try:
        yield first
        async for item in rest:
            yield item
    finally:
        # LangServe's generator answers a close with one more item, which Python
        # forbids; it ends properly when it is cancelled and then asked again.
        with contextlib.suppress(StopAsyncIteration, asyncio.CancelledError):
            await rest.athrow(asyncio.CancelledError())
            await anext(rest)
