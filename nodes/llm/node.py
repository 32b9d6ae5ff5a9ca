"""The step that calls the model and streams what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext, context_of
from core.choices import sampling_of
from nodes.llm.caller import LLMCaller, notices
from nodes.llm.models import LLMChunk, LLMRequest, LLMResponse
from nodes.llm.ports import Toolbox
from nodes.llm.prompt import answered, digest, parted, taken_ids


class Reads(TypedDict, total=False):
    messages: list[AnyMessage]
    config: dict[str, Any]
    documents: list[dict[str, Any]]
    files: list[dict[str, Any]]
    summary: str


class Writes(TypedDict):
    messages: Sequence[BaseMessage]


class CallModel:
    """Sends the recent messages, notes on those before, passages and tools to the model of the turn."""

    def __init__(self, llm: LLMCaller, toolbox: Toolbox, *, window: int = 40, notes: bool = True) -> None:
        self._llm, self._toolbox = llm, toolbox
        self._window, self._notes = window, notes

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        request, repairs = await self._request(state, context_of(runtime))
        first = not any(isinstance(message, AIMessage) for message in state["messages"])
        response = await self._streamed(request, runtime)
        for code, text in notices(request, response, first=first):
            runtime.stream_writer({"type": "notice", "code": code, "text": text})
        runtime.stream_writer({"type": "usage", **response.usage.as_json()})
        return {"messages": [*repairs, response.message]}

    async def _request(self, state: Reads, context: RunContext) -> tuple[LLMRequest, list[BaseMessage]]:
        config = state.get("config") or {}
        before, sent = parted(state["messages"], self._window)
        # Checked once more here: an unanswered call makes every endpoint refuse the whole thread.
        messages, repairs = answered(sent)
        servers, offered = config.get("servers") or (), config.get("tools")
        return LLMRequest(
            model=config.get("model") or self._llm.default(),
            messages=messages,
            earlier=digest(state.get("summary") or "", before) if self._notes else "",
            instructions=config.get("instructions") or "",
            notes=self._notes,
            taken=taken_ids(before),
            tools=await self._toolbox.schemas(context.principal, servers, offered),
            documents=state.get("documents") or (),
            files=state.get("files") or (),
            sampling=sampling_of(config),
            principal=context.principal,
        ), list(repairs)

    async def _streamed(self, request: LLMRequest, runtime: Runtime[RunContext]) -> LLMResponse:
        runtime.stream_writer({"type": "answer", "id": request.message_id})  # of the pieces, in the state
        stream: AsyncIterator[LLMChunk | LLMResponse] = self._llm.stream(request)
        async with aclosing(cast(Any, stream)):
            async for item in stream:
                if isinstance(item, LLMResponse):
                    return item
                if item.reasoning:
                    runtime.stream_writer({"type": "reasoning", "text": item.reasoning})
                if item.text:
                    runtime.stream_writer({"type": "token", "text": item.text})
        raise AssertionError("a stream of LLMCaller ends with its LLMResponse or an error")
