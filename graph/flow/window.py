"""The working window: a thread's state keeps its recent turns, and notes on what came before.

The whole conversation stands in the transcript. Here is what a checkpoint
carries, so that a turn costs the same however long its thread is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.runtime import Runtime

from core.context import RunContext
from core.settings.platform import ThreadSettings
from nodes.llm.window import digest


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a thread its state keeps.

    Args:
        turns: At least so many of the newest turns, and up to a quarter more:
            several turns leave at once, so that what a model is sent begins at
            the same place for several turns, and its endpoint's cache works.
        summary: Continue the notes on the turns that leave.
    """

    turns: int
    summary: bool = True

    @classmethod
    def of(cls, settings: ThreadSettings) -> Window | None:
        """The window of the settings; None where a state keeps everything."""
        if settings.window == "all":
            return None
        return cls(settings.window, summary=settings.summary == "digest")

    @property
    def most(self) -> int:
        """As many turns as a state has at most when a turn has ended."""
        return self.turns + self.turns // 4

    def cut(self, messages: Sequence[BaseMessage]) -> int:
        """How many of the first messages leave; 0 while there is room."""
        starts = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
        return starts[-self.turns] if len(starts) > self.most else 0


class Windowed:
    """The step that calls the model; its final answer also takes the oldest turns out of the state.

    It sees the messages and writes one of its own anyway: neither a checkpoint
    nor a reading more.
    """

    def __init__(self, node: Any, window: Window) -> None:
        self._node = node
        self._window = window

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        writes = await self._node(state, runtime)
        return trimmed(self._window, state, writes) if _ends_the_turn(writes) else writes


def trimmed(window: Window, state: Mapping[str, Any], writes: Mapping[str, Any]) -> dict[str, Any]:
    """The writes of a turn's last model call, with the removal of the turns that leave the window.

    Removals stand first: the answer stays the last message. A result goes with its call, wherever it stands.
    """
    messages = cast(Sequence[BaseMessage], state["messages"])
    cut = window.cut(messages)
    if not cut:
        return dict(writes)
    gone = messages[:cut]
    calls = {call["id"] for message in gone if isinstance(message, AIMessage) for call in message.tool_calls}
    late = [message for message in messages[cut:] if _answers(message, calls)]
    removals = [RemoveMessage(id=message.id) for message in [*gone, *late] if message.id]
    new = [message for message in writes["messages"] if not _answers(message, calls)]
    summary = {"summary": digest(state.get("summary") or "", gone)} if window.summary else {}
    return {**writes, "messages": [*removals, *new], **summary}


def _ends_the_turn(writes: Any) -> bool:
    messages = writes.get("messages") if isinstance(writes, Mapping) else None
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, AIMessage) and not last.tool_calls


def _answers(message: BaseMessage, calls: set[str | None]) -> bool:
    return isinstance(message, ToolMessage) and message.tool_call_id in calls
