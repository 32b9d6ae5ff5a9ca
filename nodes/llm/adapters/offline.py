"""The offline model as a LangChain chat model, and behind our port."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from typing_extensions import override

from nodes.llm.models import OFFLINE
from nodes.llm.offline.reply import Reply, reply

_PIECE = re.compile(r"\s*\S+|\s+$")


class OfflineChatModel(BaseChatModel):
    """A chat model that needs no network and no weights, and never invents.

    It calls a bound tool when the request matches one, states results, quotes
    the passages of the system message, or says what it can do. Token counts
    are counted words.
    """

    max_quote: int = 400

    @property
    def _llm_type(self) -> str:
        return OFFLINE

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": OFFLINE}

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools; `tool_choice` "none" offers nothing, all else leaves the choice to the request."""
        offered = [] if tool_choice == "none" else [convert_to_openai_tool(tool) for tool in tools]
        return cast("Runnable[LanguageModelInput, AIMessage]", self.bind(tools=offered, **kwargs))

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole: AIMessageChunk | None = None
        for chunk in self._chunks(messages, kwargs.get("tools") or ()):
            whole = chunk if whole is None else whole + chunk
        assert whole is not None  # noqa: S101 - the last chunk always comes
        message = AIMessage(
            content=whole.content,
            tool_calls=whole.tool_calls,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs.get("tools") or ()):
            yield ChatGenerationChunk(message=chunk)

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs.get("tools") or ()):
            if run_manager:
                await run_manager.on_llm_new_token(str(chunk.text), chunk=ChatGenerationChunk(message=chunk))
            yield ChatGenerationChunk(message=chunk)

    def _chunks(
        self, messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]
    ) -> Iterator[AIMessageChunk]:
        answer = reply(messages, tools, max_quote=self.max_quote)
        if answer.tool:
            arguments = json.dumps(dict(answer.arguments), ensure_ascii=False)
            part = tool_call_chunk(name=answer.tool, args=arguments, id=_call_id(messages, answer), index=0)
            yield AIMessageChunk(content="", tool_call_chunks=[part])
        for piece in _PIECE.findall(answer.text):
            yield AIMessageChunk(content=piece)
        yield _end(messages, answer)


class OfflineModel:
    """The offline model behind the port `ChatModel`."""

    def __init__(self, *, max_quote: int = 400) -> None:
        self._model = OfflineChatModel(max_quote=max_quote)

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, float] = {},
        user: str = "",
    ) -> AsyncIterator[AIMessageChunk]:
        stream = self._model.astream(list(messages), tools=[dict(tool) for tool in tools])
        async with aclosing(cast(Any, stream)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def ping(self) -> list[str]:
        return [OFFLINE]

    async def aclose(self) -> None:
        return


def _end(messages: Sequence[BaseMessage], answer: Reply) -> AIMessageChunk:
    read = sum(len(str(message.text).split()) for message in messages)
    written = len(answer.text.split()) or 1
    return AIMessageChunk(
        content="",
        usage_metadata=UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written),
        response_metadata={"finish_reason": "tool_calls" if answer.tool else "stop", "model_name": OFFLINE},
        chunk_position="last",
    )


def _call_id(messages: Sequence[BaseMessage], answer: Reply) -> str:
    """The same conversation gives the same id, another one another."""
    told = [f"{message.type}:{message.id}:{message.text}" for message in messages]
    whole = json.dumps([*told, answer.tool, dict(answer.arguments)], default=str)
    return f"offline-{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
