"""Where a turn goes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall
from langgraph.graph import END
from langgraph.types import Send

from core.editions import Editions
from core.settings.platform import LimitSettings
from graph.errors import StepLimit
from graph.flow.state import State


@dataclass(frozen=True, slots=True)
class Ways:
    """The names of the steps that a turn may go to behind the model's answer."""

    begin: str
    tools: str
    files: str


class AfterModel:
    """To the tools, one task per call, while the model asks for them; then to the files.

    Args:
        editions: The limits: model calls that a turn may make where its config
            says nothing, and tool calls.
    """

    def __init__(self, editions: Editions) -> None:
        self._editions = editions

    def ways(self, ways: Ways, *, tools_ahead: str = "") -> Callable[[State], list[Send] | str]:
        """The decision between these steps.

        Args:
            tools_ahead: The first of further steps ahead of the tools; the last of them makes the calls.
        """

        def after_model(state: State) -> list[Send] | str:
            calls = self._calls(state)
            if not calls:
                return ways.begin if _reopened(state) else ways.files
            return tools_ahead or sent(ways.tools, state, calls)

        return after_model

    def _calls(self, state: State) -> list[ToolCall]:
        turn = this_turn(state.get("messages", []))
        answers = [message for message in turn if isinstance(message, AIMessage) and not is_remark(message)]
        calls = answers[-1].tool_calls if answers else []
        if not calls:
            return []
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
        return list(calls)


def sent(tools: str, state: State, calls: Sequence[ToolCall]) -> list[Send]:
    """A task for each call."""
    shared = {"config": state.get("config") or {}, "files": state.get("files", [])}
    return [Send(tools, {"call": call, **shared}) for call in calls]


def ahead_of_tools(ways: Ways) -> Callable[[State], list[Send] | str]:
    """Behind further steps ahead of the tools: the calls that are still asked for, or the end of the turn."""

    def after_ahead(state: State) -> list[Send] | str:
        answers = [message for message in state.get("messages", []) if isinstance(message, AIMessage)]
        calls = answers[-1].tool_calls if answers else []
        return sent(ways.tools, state, calls) if calls else ways.files

    return after_ahead


def after_files(begin: str) -> Callable[[State], str]:
    """The turn is over; one whose question was edited just now begins again."""

    def after_end(state: State) -> str:
        return begin if _reopened(state) else END

    return after_end


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
