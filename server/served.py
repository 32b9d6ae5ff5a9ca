"""What LangServe asks of a Runnable, for facades that run turns on the open agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import ConfigurableFieldSpec
from langchain_core.tracers.log_stream import LogStreamCallbackHandler, _astream_log_implementation

from graph.agent import Agent

GetAgent = Callable[[], Agent]
In = TypeVar("In")
Out = TypeVar("Out")


def _spec(name: str, annotation: Any, description: str) -> ConfigurableFieldSpec:
    return ConfigurableFieldSpec(
        id=name,
        annotation=annotation,
        name=name.replace("_", " ").capitalize(),
        description=description,
        default=None,
    )


# Plain types with a null default: LangServe's playground goes blank on unions.
CONFIG_SPECS = [
    _spec("thread_id", str, "Conversation to continue; none starts a new one."),
    _spec("model", str, "Name of a model (GET /models)."),
    _spec("sources", list[str], "Sources to search (GET /sources); none given: all that you may use."),
    _spec("tools", list[str], "Servers or tools (GET /servers, /tools); none given: all that you may use."),
    _spec("temperature", float, "0 to 2."),
    _spec("max_steps", int, "Model calls in this turn."),
    _spec("approval", str, "For tools that need a person's word: ask, auto or deny."),
    _spec("on_disconnect", str, "What a dropped connection does to the turn: cancel or continue."),
]


class Served(Runnable[In, Out]):
    """Base of the facades; they add `ainvoke` and `astream`.

    Args:
        agent: Gives the open agent; called once per turn.
    """

    def __init__(self, agent: GetAgent) -> None:
        self._agent = agent

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return CONFIG_SPECS

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
