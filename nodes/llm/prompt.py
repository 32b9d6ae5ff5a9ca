"""What a model is sent: the recent messages with every call answered, and notes on those before.

The notes are made without a model: of each turn the question, and the first sentence of its answer.

    Asked: What is the fee for a boat of nine metres?
    Answered: Boats of eight metres and more pay fifteen euros a night.

They stand in the system message, see `fences`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from nodes.llm.models import LLMRequest
from nodes.llm.pieces import ENDPOINT

DIGEST_BYTES = 2000
_LINE_LETTERS = 240
_ASKED, _ANSWERED = "Asked: ", "Answered: "
_ENTRY = re.compile(rf"\n(?={_ASKED})")
_SENTENCE = re.compile(r".+?(?:[.!?…](?=\s|$)|[。！？])")


def digest(before: str, messages: Sequence[BaseMessage]) -> str:
    """The notes `before`, continued over `messages`; the oldest entries go where there is no room.

    Args:
        before: An earlier result; "" for none.
        messages: What came after it, oldest first. Only as many of the newest
            are looked at as there is room for.

    Returns:
        At most DIGEST_BYTES bytes in UTF-8.
    """
    room, kept = DIGEST_BYTES, list[str]()
    for entry in chain(_entries(messages), reversed(_ENTRY.split(before) if before else [])):
        room -= len(entry.encode()) + 1
        if room < 0:
            break
        kept.append(entry)
    return "\n".join(reversed(kept))


def _entries(messages: Sequence[BaseMessage]) -> Iterator[str]:
    """An entry for each turn, the newest first."""
    answer = ""
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            answer = answer or ("" if message.tool_calls else _first_sentence(message))
        elif isinstance(message, HumanMessage):
            lines = [_ASKED + _cut(_one_line(message)), *([_ANSWERED + answer] if answer else [])]
            yield "\n".join(lines)
            answer = ""


def _first_sentence(message: BaseMessage) -> str:
    text = _one_line(message)
    found = _SENTENCE.match(text)
    return _cut(found.group() if found else text)


def _one_line(message: BaseMessage) -> str:
    # Cut before it is split: of a long answer only the beginning is looked at.
    text = str(message.text)[: 8 * _LINE_LETTERS]
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _cut(text: str) -> str:
    return text if len(text) <= _LINE_LETTERS else text[: _LINE_LETTERS - 1] + "…"


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
            ordered[-1] = HumanMessage(content=_joined(last, message), id=last.id)
            continue
        if isinstance(message, HumanMessage) and isinstance(last, ToolMessage):
            ordered.append(AIMessage(content="(no answer was given)"))
        ordered.append(message)
    return ordered


def _joined(one: HumanMessage, other: HumanMessage) -> Any:
    """Both contents; in parts where one of them has parts."""
    if isinstance(one.content, str) and isinstance(other.content, str):
        return f"{one.text}\n\n{other.text}"
    both = ([c] if isinstance(c, str) else c for c in (one.content, other.content))
    return [{"type": "text", "text": p} if isinstance(p, str) else p for parts in both for p in parts]


def without_empty(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
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


Turn = list[BaseMessage]

_SHORT = (8_000, 1_000, 200)
_CUT = "\n[… the rest of this result was too long for the model and is left out]"
_FILE_CHARS = (4_000, 0)
_CUT_ARGUMENT = "[… the rest of this argument was given to the tool, and is left out here]"


def shorter(request: LLMRequest) -> Iterator[LLMRequest]:
    """Shorter forms of a request, each with less than the one before.

    First go messages that nobody answered, then the oldest turns, half of what
    is there each time; turns go whole, so calls keep their results. The notes
    on the beginning go on over them. Then texts of files, and last what is long in the calls of the
    newest turn and in their results is cut; no call goes, or it would be made
    again. The message stays: one that is too long by itself fits nowhere.
    """
    turns = list(turns_of(request.messages))
    kept = [turn for turn in turns[:-1] if _is_answered(turn)] + turns[-1:]
    if len(kept) < len(turns):
        yield _only(request, turns, kept)
    while len(kept) > 1:
        kept = _newer_half(kept)
        yield _only(request, turns, kept)
    for chars in _FILE_CHARS if request.attachments else ():
        request = replace(request, attachments=[each.shortened(chars) for each in request.attachments])
        yield _only(request, turns, kept)
    for letters in _SHORT:
        if any(_is_long(message, letters) for turn in kept for message in turn):
            kept = [[_shortened(message, letters) for message in turn] for turn in kept]
            yield _only(request, turns, kept)


def turns_of(messages: Sequence[BaseMessage]) -> Iterator[Turn]:
    """The messages by turns: each begins with what a person said."""
    turn: Turn = []
    for message in messages:
        if isinstance(message, HumanMessage) and turn:
            yield turn
            turn = []
        turn.append(message)
    if turn:
        yield turn


def _is_answered(turn: Turn) -> bool:
    return any(isinstance(message, AIMessage) for message in turn)


def _newer_half(turns: list[Turn]) -> list[Turn]:
    """The newest turn, and those before it that fit into half of the room that all before it take."""
    *older, newest = turns
    room = sum(map(_size, older)) // 2
    kept: list[Turn] = []
    for turn in reversed(older[1:]):
        room -= _size(turn)
        if room < 0:
            break
        kept.append(turn)
    return [*reversed(kept), newest]


def _size(turn: Turn) -> int:
    return sum(len(str(message.content)) for message in turn)


def _only(request: LLMRequest, turns: list[Turn], kept: list[Turn]) -> LLMRequest:
    places = {id(turn) for turn in kept}
    gone = [message for turn in turns[:-1] if id(turn) not in places for message in turn]
    messages = [message for turn in kept for message in turn]
    earlier = digest(request.earlier, gone) if request.notes else request.earlier
    return replace(request, messages=messages, earlier=earlier)


def _is_long(message: BaseMessage, letters: int) -> bool:
    """Whether `_shortened` makes it shorter; what it cut to more letters stays as it is."""
    if isinstance(message, ToolMessage):
        return len(str(message.content)) > letters + len(_CUT)
    return isinstance(message, AIMessage) and any(
        _is_long_value(call["args"], letters) for call in message.tool_calls
    )


def _shortened(message: BaseMessage, letters: int) -> BaseMessage:
    if not _is_long(message, letters):
        return message
    if isinstance(message, AIMessage):
        calls = [{**call, "args": _short_value(call["args"], letters)} for call in message.tool_calls]
        return message.model_copy(update={"tool_calls": calls})
    return message.model_copy(update={"content": str(message.text)[:letters] + _CUT})


def _is_long_value(value: Any, letters: int) -> bool:
    if isinstance(value, str):
        return len(value) > letters + len(_CUT_ARGUMENT)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_long_value(one, letters) for one in inner)


def _short_value(value: Any, letters: int) -> Any:
    """An argument with its long texts cut: what was done with it stands in the result."""
    if isinstance(value, str):
        return value[:letters] + _CUT_ARGUMENT if _is_long_value(value, letters) else value
    if isinstance(value, dict):
        return {key: _short_value(one, letters) for key, one in value.items()}
    return [_short_value(one, letters) for one in value] if isinstance(value, list) else value
