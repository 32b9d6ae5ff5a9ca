"""A run's events as LangChain's callbacks, for `stream_events` and `stream_log`.

Whoever filters for `on_chat_model_stream`, `on_tool_start` and `on_tool_end`, as with any agent of
LangChain's, finds the model's words and the calls of tools there, beside the events themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForChainRun,
    AsyncCallbackManagerForLLMRun,
    AsyncCallbackManagerForToolRun,
)
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

# What LangChain's own streams of events and of logs are made of; nothing public tells them from others.
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langchain_core.tracers.log_stream import LogStreamCallbackHandler

from server.repeats import WithoutRepeats

Event = Mapping[str, Any]
MODEL = "model"
_STATUS = {"ok": "success", "answered": "success"}


async def heard(
    events: AsyncIterator[dict[str, Any]], run: AsyncCallbackManagerForChainRun
) -> AsyncIterator[dict[str, Any]]:
    """The events as they are; on their way they are told to those who listen to callbacks in order."""
    listening = [h for h in run.inheritable_handlers if isinstance(h, _StreamingCallbackHandler)]
    told = _CallbackRuns(run, listening) if listening else None
    async for event in events:
        if told is not None:
            await told.hear(event)
        yield event


class _CallbackRuns:
    """One turn as runs of a model and of tools inside of its own."""

    def __init__(self, run: AsyncCallbackManagerForChainRun, listening: list[Any]) -> None:
        self._run = run
        self._listening = listening
        # LangServe's client takes an entry of the log of type `tool` for a message of one, and fails.
        self._of_tools = [h for h in listening if not isinstance(h, LogStreamCallbackHandler)]
        self._name = MODEL
        self._model: AsyncCallbackManagerForLLMRun | None = None
        self._said: list[str] = []
        self._tools: dict[str, tuple[str, AsyncCallbackManagerForToolRun]] = {}
        self._repeats = WithoutRepeats()

    async def hear(self, event: Event) -> None:
        handler = _HEARD.get(event["type"])
        if (told := self._repeats.of(event)) and handler is not None:
            await handler(self, told)

    def _child(self, listening: list[Any], **metadata: Any) -> AsyncCallbackManager:
        child = self._run.get_child()
        child.set_handlers(listening)
        child.add_metadata(metadata, inherit=False)
        return child

    async def _chosen(self, event: Event) -> None:
        self._name = str(event.get("model") or MODEL)

    async def _speaking(self) -> AsyncCallbackManagerForLLMRun:
        if self._model is None:
            child = self._child(self._listening, ls_model_name=self._name, ls_model_type="chat")
            (self._model,) = await child.on_chat_model_start({}, [[]], name=self._name)
        return self._model

    async def _token(self, event: Event) -> None:
        text = str(event["delta"])
        self._said.append(text)
        await self._chunk(text, AIMessageChunk(content=text))

    async def _reasoning(self, event: Event) -> None:
        thought = str(event["delta"])
        await self._chunk("", AIMessageChunk(content="", additional_kwargs={"reasoning_content": thought}))

    async def _chunk(self, text: str, message: AIMessageChunk) -> None:
        model = await self._speaking()
        await model.on_llm_new_token(text, chunk=ChatGenerationChunk(message=message))

    async def _used(self, event: Event) -> None:
        """A call of a model is over, also one that said nothing and only asked for tools."""
        await self._speaking()
        read, written = event["input_tokens"], event["output_tokens"]
        await self._spoken({"input_tokens": read, "output_tokens": written, "total_tokens": read + written})

    async def _spoken(self, usage: Any = None) -> None:
        if self._model is not None:
            answer = AIMessage("".join(self._said), usage_metadata=usage)
            await self._model.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]))
        self._model = None
        self._said.clear()

    async def _called(self, event: Event) -> None:
        await self._spoken()
        name, arguments = str(event["tool"]), dict(event["arguments"])
        child = self._child(self._of_tools, server=event["server"])
        run = await child.on_tool_start({"name": name}, str(arguments), name=name, inputs=arguments)
        self._tools[str(event["id"])] = (name, run)

    async def _answered(self, event: Event) -> None:
        call_id = str(event["id"])
        if call_id not in self._tools:
            return
        name, run = self._tools.pop(call_id)
        status: Any = _STATUS.get(event["status"], "error")
        text = str(event["content"])
        await run.on_tool_end(ToolMessage(text, name=name, tool_call_id=call_id, status=status))

    async def _over(self, event: Event) -> None:
        await self._spoken()


_HEARD: Mapping[str, Callable[[_CallbackRuns, Event], Awaitable[None]]] = {
    "config": _CallbackRuns._chosen,
    "token": _CallbackRuns._token,
    "reasoning": _CallbackRuns._reasoning,
    "usage": _CallbackRuns._used,
    "tool_call": _CallbackRuns._called,
    "tool_result": _CallbackRuns._answered,
    "done": _CallbackRuns._over,
    "error": _CallbackRuns._over,
}
