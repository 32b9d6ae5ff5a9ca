"""Which messages a model is sent: the recent ones, with every tool call answered right after."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from nodes.llm.pieces import ENDPOINT

INTERRUPTED = "interrupted, result unknown"


def recent(messages: Sequence[BaseMessage], limit: int) -> list[BaseMessage]:
    """At most about `limit` of the last messages, beginning at a human one.

    Where a single turn is longer than `limit`, it is kept whole.
    """
    start = max(len(messages) - limit, 0)
    for index in range(start, len(messages)):
        if isinstance(messages[index], HumanMessage):
            return list(messages[index:])
    for index in range(start - 1, -1, -1):
        if isinstance(messages[index], HumanMessage):
            return list(messages[index:])
    return list(messages)


def parted(messages: Sequence[BaseMessage], limit: int) -> tuple[list[BaseMessage], list[BaseMessage]]:
    """What is older than the recent messages, and those (see `recent`)."""
    sent = recent(messages, limit)
    return list(messages[: len(messages) - len(sent)]), sent


def answered(messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], list[ToolMessage]]:
    """The messages with each tool call answered right after its message.

    A result that stands elsewhere is moved, one that answers nothing is left
    out, and a call without one gets "interrupted, result unknown".

    Returns:
        The new list, and the answers that had to be made up.
    """
    results = {m.tool_call_id: m for m in messages if isinstance(m, ToolMessage)}
    ordered: list[BaseMessage] = []
    missing: list[ToolMessage] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            continue
        ordered.append(message)
        if not isinstance(message, AIMessage):
            continue
        for call in message.tool_calls:
            call_id = call["id"] or ""
            result = results.get(call_id)
            if result is None:
                result = _unknown(call)
                missing.append(result)
            ordered.append(result)
    return ordered, missing


def _unknown(call: ToolCall) -> ToolMessage:
    call_id = call["id"] or ""
    record = {"tool": call["name"], "arguments": call["args"], "status": "unknown"}
    return ToolMessage(
        content=INTERRUPTED,
        tool_call_id=call_id,
        name=call["name"],
        status="error",
        # The id follows from the call, so that a second repair replaces the first and adds nothing.
        id=f"interrupted-{call_id}",
        additional_kwargs={"waystation": record},
    )


def alternating(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """For endpoints with strict role ordering: neighbours of one role are joined, no user follows a tool."""
    ordered: list[BaseMessage] = []
    for message in messages:
        last = ordered[-1] if ordered else None
        if isinstance(message, HumanMessage) and isinstance(last, HumanMessage):
            ordered[-1] = HumanMessage(content=f"{last.text}\n\n{message.text}", id=last.id)
            continue
        if isinstance(message, HumanMessage) and isinstance(last, ToolMessage):
            ordered.append(AIMessage(content="(no answer was given)"))
        ordered.append(message)
    return ordered


def spoken(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages without those that say nothing: a strict endpoint would refuse them for ever."""
    last = messages[-1] if messages else None
    return [message for message in messages if message is last or not _is_empty(message)]


def _is_empty(message: BaseMessage) -> bool:
    if isinstance(message, AIMessage):
        return not message.tool_calls and not message.text.strip()
    plain = isinstance(message, HumanMessage) and isinstance(message.content, str)
    return plain and not message.text.strip()


def taken_ids(messages: Sequence[BaseMessage | AnyMessage]) -> set[str]:
    """Ids of the tool calls in `messages`, and what their endpoint calls them."""
    answers = [message for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    ids = {call["id"] for answer in answers for call in answer.tool_calls if call["id"]}
    return ids.union(
        *(answer.additional_kwargs.get(ENDPOINT, {}).get("ids", {}).values() for answer in answers)
    )
