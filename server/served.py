"""What LangServe asks of a Runnable, for facades that run turns on the open agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import ConfigurableFieldSpec
from langchain_core.tracers.log_stream import LogStreamCallbackHandler, _astream_log_implementation
from pydantic import Field

from core.context import Approval
from graph.agent import Agent
from graph.runs.record import OnBusy, OnDisconnect
from server.requests import EVERY

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
        approval: What the caller wishes who says nothing.
    """
    return [
        _spec("thread_id", str, "Conversation to continue; none starts a new one."),
        _spec("model", str, "Name of a model (GET /models)."),
        _spec("sources", list[str], "Sources to search (GET /sources); * for all that you may use.", [EVERY]),
        _spec(
            "tools",
            list[str],
            "Servers or tools (GET /servers, /tools); * for all that you may use.",
            [EVERY],
        ),
        _spec("temperature", float, "0 to 2."),
        _spec("max_steps", int, "Model calls in this turn."),
        _spec("approval", Approval, "For tools that need a person's word: ask, auto or deny.", approval),
        _spec("on_disconnect", OnDisconnect, "What a dropped connection does to the turn.", "cancel"),
        _spec("on_busy", OnBusy, "When the thread is busy or waits: reject, enqueue, interrupt.", "reject"),
    ]


class Served(Runnable[In, Out]):
    """Base of the facades; they add types, `ainvoke` and `astream`.

    Args:
        agent: Gives the open agent; called once per turn.
    """

    approval: Approval = "ask"

    def __init__(self, agent: GetAgent) -> None:
        self._agent = agent

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return config_specs(approval=self.approval)

    def invoke(self, input: In, config: RunnableConfig | None = None, **kwargs: Any) -> Out:  # noqa: A002 - LangChain's name
        return asyncio.run(self.ainvoke(input, config, **kwargs))

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


async def once(value: In) -> AsyncIterator[In]:
    """A stream of one value."""
    yield value
