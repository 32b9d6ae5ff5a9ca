"""The step of the graph: whoever begins a thread is greeted."""

from collections.abc import Sequence

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from waystation import RunContext, context_of
from waystation_greeter.greeter import Greeter


class Reads(TypedDict):
    messages: Sequence[AnyMessage]


class Writes(TypedDict):
    """It adds nothing to the thread."""


class Greet:
    """Tells a greeting among the events of a thread's first turn."""

    def __init__(self, greeter: Greeter) -> None:
        self._greeter = greeter

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        if len(state["messages"]) == 1:
            text = self._greeter.greet(context_of(runtime).user)
            runtime.stream_writer({"type": "notice", "code": "greeting", "detail": text})
        return {}
