"""What a step of a further module writes, in one form.

LangGraph takes a message alone, a pair of role and text, or a bare text, and
gives it an id when it stores it. The transcript has to know the message under
that id too, so it is made one, with its id, before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite

from core.context import RunContext
from graph.flow.routing import REMARK
from graph.flow.state import OVERWRITE, as_messages


class Written:
    """A step whose messages are written as messages, each with an id."""

    def __init__(self, node: Any) -> None:
        self._node = node

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        writes = await self._node(state, runtime)
        return [_of(one) for one in writes] if isinstance(writes, list) else _of(writes)


def _of(writes: Any) -> Any:
    if isinstance(writes, Command):
        return replace(writes, update=_of(writes.update))
    if not isinstance(writes, Mapping) or "messages" not in writes:
        return writes
    return {**writes, "messages": _messages(writes["messages"])}


def _messages(written: Any) -> Any:
    """The messages; those that take the place of all are the reducer's business."""
    if isinstance(written, Overwrite) or (isinstance(written, dict) and set(written) == {OVERWRITE}):
        return written
    return [_marked(message) for message in as_messages([] if written is None else written)]


def _marked(message: BaseMessage) -> BaseMessage:
    """With an id; a new message of an assistant is no answer of a model, which stays to be asked."""
    if message.id:
        return message
    new: dict[str, Any] = {"id": f"m-{uuid4().hex}"}
    if isinstance(message, AIMessage) and not message.tool_calls:
        new["additional_kwargs"] = {**message.additional_kwargs, REMARK: True}
    return message.model_copy(update=new)
