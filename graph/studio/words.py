"""Under `langgraph dev` the stream mode `messages` tells an answer under the id of its message in the state.

LangChain gives what a model streams an id of its own, and a client of ours
streams nothing there. Told under two ids, an answer stands twice in Studio's
chat until the next state comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackManager, CallbackManager, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.config import get_config
from langgraph.runtime import Runtime

from core.access import RunContext


class OncePerAnswer:
    """The step that calls the model; whoever listens to messages hears each answer once, as it comes."""

    def __init__(self, node: Any) -> None:
        self._node = node

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        message_id = f"ai-{uuid4().hex}"
        with _told() as told:

            def write(event: Mapping[str, Any]) -> None:
                runtime.stream_writer(event)
                if event.get("type") == "token":
                    _say(told, AIMessageChunk(content=str(event.get("delta") or ""), id=message_id))

            writes = await self._node(state, runtime.override(stream_writer=write))
            messages = writes.get("messages") if isinstance(writes, Mapping) else None
            if not messages or not isinstance(messages[-1], AIMessage):
                return writes
            answer = messages[-1].model_copy(update={"id": message_id})
            _say(told, _end_of(answer))
            told.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]))
        return {**writes, "messages": [*messages[:-1], answer]}


@contextmanager
def _told() -> Iterator[CallbackManagerForLLMRun]:
    """One answer, told to those who listen to messages; what else calls back inside of it is not heard."""
    config = get_config()
    (told,) = _listeners(config).on_chat_model_start({}, [[]])
    token = var_child_runnable_config.set({**config, "callbacks": None})
    try:
        yield told
    except BaseException as error:
        told.on_llm_error(error)
        raise
    finally:
        var_child_runnable_config.reset(token)


def _listeners(config: RunnableConfig) -> CallbackManager:
    """Those that take words in the order in which they come; others wait for whole messages."""
    known = config.get("callbacks")
    handlers = known.handlers if isinstance(known, BaseCallbackManager) else known or []
    inline = [handler for handler in handlers if handler.run_inline]
    return CallbackManager(inline, metadata=dict(config.get("metadata") or {}))


def _say(told: CallbackManagerForLLMRun, chunk: AIMessageChunk) -> None:
    told.on_llm_new_token(str(chunk.content), chunk=ChatGenerationChunk(message=chunk))


def _end_of(answer: AIMessage) -> AIMessageChunk:
    """What no words have told: calls, and what was used."""
    return AIMessageChunk(
        content="",
        id=answer.id,
        tool_call_chunks=[
            tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
            for place, call in enumerate(answer.tool_calls)
        ],
        usage_metadata=answer.usage_metadata,
        chunk_position="last",
    )
