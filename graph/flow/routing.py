"""Where a turn goes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.types import Send

from core.editions import Editions
from core.settings.platform import LimitSettings
from graph.errors import StepLimit
from graph.flow.state import State


class AfterModel:
    """To the tools, one task per call, while the model asks for them; then to the files.

    Args:
        editions: The limits: model calls that a turn may make where its config
            says nothing, and tool calls.
    """

    def __init__(self, editions: Editions) -> None:
        self._editions = editions

    def __call__(self, state: State) -> list[Send] | Literal["store_files", "lookup_config"]:
        turn = this_turn(state.get("messages", []))
        answers = [message for message in turn if isinstance(message, AIMessage) and not is_remark(message)]
        calls = answers[-1].tool_calls if answers else []
        if not calls:
            return "lookup_config" if _reopened(state) else "store_files"
        limits = self._editions.now().book[LimitSettings]
        # Empty where somebody writes in the model's place, between turns or in the middle of one.
        config = state.get("config") or {}
        steps = config.get("max_steps") or limits.steps
        if len(answers) >= steps:
            raise StepLimit(
                f"the model still asks for tools after {steps} steps; raise max_steps or ask for less"
            )
        if sum(len(answer.tool_calls) for answer in answers) > limits.tool_calls:
            raise StepLimit(f"the model asked for more than {limits.tool_calls} tool calls in one turn")
        shared = {"config": config, "files": state.get("files", [])}
        return [Send("execute_tools", {"call": call, **shared}) for call in calls]


def after_files(state: State) -> Literal["lookup_config", "__end__"]:
    """The turn is over; one whose question was edited just now begins again."""
    return "lookup_config" if _reopened(state) else "__end__"


def _reopened(state: State) -> bool:
    """Whether somebody has changed the question from outside: nothing answers it, and no turn is going."""
    messages = state.get("messages", [])
    return not state.get("config") and bool(messages) and isinstance(messages[-1], HumanMessage)


REMARK = "waystation_remark"
"""Under this key of `additional_kwargs` an assistant's message says that no model made it."""


def is_remark(message: BaseMessage) -> bool:
    """Whether a step of a further module said it, in front of the model's answer or behind it."""
    return bool(message.additional_kwargs.get(REMARK))


def this_turn(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages from the last human one on."""
    start = max((i for i, message in enumerate(messages) if message.type == "human"), default=0)
    return list(messages[start:])
