"""Shorter forms of a request, for a model that says it was too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from nodes.llm.models import LLMRequest
from nodes.llm.prompt import digest

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
