"""What a turn asks its model: made of the state's channels, under the rights of whoever runs the turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.runtime import Runtime

from core.access import RunContext, context_of
from core.choices import sampling_of
from nodes.llm.attachments import of_state
from nodes.llm.caller import LLMCaller
from nodes.llm.models import LLMRequest
from nodes.llm.ports import Attachments, Toolbox
from nodes.llm.prompt import answered, digest, parted, taken_ids


class TurnRequests:
    """Makes the requests of turns.

    Args:
        window: Recent messages that are sent.
        notes: Of the messages before these, notes are.
    """

    def __init__(
        self, llm: LLMCaller, toolbox: Toolbox, files: Attachments, *, window: int, notes: bool
    ) -> None:
        self._llm, self._toolbox, self._files = llm, toolbox, files
        self._window, self._notes = window, notes

    async def of(
        self, state: Mapping[str, Any], runtime: Runtime[RunContext]
    ) -> tuple[LLMRequest, list[BaseMessage]]:
        """The request, and the results of calls that had to be made up for it."""
        config, principal = state.get("config") or {}, context_of(runtime).principal
        model = config.get("model") or self._llm.default()
        before, sent = parted(state["messages"], self._window)
        # Checked once more here: an unanswered call makes every endpoint refuse the whole thread.
        messages, repairs = answered(sent)
        tools = await self._toolbox.schemas(principal, config.get("servers") or (), config.get("tools"))
        files = await of_state(state, self._files, runtime, lambda: self._llm.line(model, principal))
        return LLMRequest(
            model=model,
            messages=messages,
            earlier=digest(state.get("summary") or "", before) if self._notes else "",
            instructions=config.get("instructions") or "",
            notes=self._notes,
            taken=taken_ids(before),
            tools=[*tools, *files.tools] if files.tools else tools,
            documents=state.get("documents") or (),
            files=state.get("files") or (),
            attachments=files.shown,
            sampling=sampling_of(config),
            principal=principal,
        ), list(repairs)
