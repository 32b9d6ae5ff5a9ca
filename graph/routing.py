"""Where a turn goes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.types import Send

from graph.errors import StepLimit
from graph.state import State


class AfterModel:
    """To the tools, one task per call, while the model asks for them; then to the files.

    Args:
        steps: Model calls that a turn may make where its config says nothing.
        tool_calls: Tool calls that a turn may make.
    """

    def __init__(self, *, steps: int, tool_calls: int) -> None:
        self._steps = steps
        self._tool_calls = tool_calls

    def __call__(self, state: State) -> list[Send] | Literal["store_files"]:
        turn = this_turn(state["messages"])
        answers = [message for message in turn if isinstance(message, AIMessage)]
        calls = answers[-1].tool_calls if answers else []
        if not calls:
            return "store_files"
        steps = state["config"].get("max_steps") or self._steps
        if len(answers) >= steps:
            raise StepLimit(
                f"the model still asks for tools after {steps} steps; raise max_steps or ask for less"
            )
        if sum(len(answer.tool_calls) for answer in answers) > self._tool_calls:
            raise StepLimit(f"the model asked for more than {self._tool_calls} tool calls in one turn")
        shared = {"config": state["config"], "files": state.get("files", [])}
        return [Send("execute_tools", {"call": call, **shared}) for call in calls]


def after_tools(state: State) -> Literal["call_model", "lookup_config"]:
    """Back to the model; after a pause first to the configuration, since rights may have changed."""
    return "call_model" if state.get("config") else "lookup_config"


def this_turn(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages from the last human one on."""
    start = max((i for i, message in enumerate(messages) if message.type == "human"), default=0)
    return list(messages[start:])
