"""The step that calls the model and streams what it says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext
from core.correlation import given_answers
from nodes.llm.caller import LLMCaller, TurnRequests, notices
from nodes.llm.judging import answering
from nodes.llm.models import LLMRequest, LLMResponse
from nodes.llm.ports import Attachments, NoAttachments, Toolbox

_NONE = NoAttachments()


class Reads(TypedDict, total=False):
    messages: list[AnyMessage]
    config: dict[str, Any]
    documents: list[dict[str, Any]]
    files: list[dict[str, Any]]
    summary: str


class Writes(TypedDict):
    messages: Sequence[BaseMessage]


class CallModel:
    """Sends recent messages, notes on those before, passages, files and tools to the model of the turn."""

    def __init__(
        self,
        llm: LLMCaller,
        toolbox: Toolbox,
        files: Attachments = _NONE,
        *,
        window: int = 40,
        notes: bool = True,
    ) -> None:
        self._llm = llm
        self._requests = TurnRequests(llm, toolbox, files, window=window, notes=notes)

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        request, repairs = await self._requests.of(state, runtime)
        first = not any(isinstance(message, AIMessage) for message in state["messages"])
        response = await self._streamed(request, runtime)
        for code, text in notices(request, response, first=first):
            runtime.stream_writer({"type": "notice", "code": code, "detail": text})
        runtime.stream_writer({"type": "usage", **response.usage.as_json()})
        given_answers().add(request.message_id)
        return {"messages": [*repairs, response.message]}

    async def _streamed(self, request: LLMRequest, runtime: Runtime[RunContext]) -> LLMResponse:
        # Under which id the pieces that follow will stand in the state.
        runtime.stream_writer({"type": "answer", "id": request.message_id})
        stream = answering(self._llm.stream, request)
        async with aclosing(cast(Any, stream)):
            async for item in stream:
                if isinstance(item, LLMResponse):
                    return item
                if item.reasoning:
                    runtime.stream_writer({"type": "reasoning", "delta": item.reasoning})
                if item.text:
                    runtime.stream_writer({"type": "token", "delta": item.text})
        raise AssertionError("a stream of LLMCaller ends with its LLMResponse or an error")
