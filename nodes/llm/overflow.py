"""A conversation that is too long for its model: what is left out, step by step, until it fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from nodes.llm.digest import digest
from nodes.llm.models import LLMRequest

Turn = list[BaseMessage]

_SHORT_RESULTS = (8_000, 1_000)
_CUT = "\n[… the rest of this result was too long for the model and is left out]"


def shorter(request: LLMRequest) -> Iterator[LLMRequest]:
    """Shorter forms of a request, each with less than the one before.

    First go messages that nobody answered, then the oldest turns, half of what
    is there each time; turns go whole, so calls keep their results. The notes
    on the beginning go on over them. Last, long results of the newest turn are
    cut. Its message stays: one that is too long by itself fits nowhere.
    """
    turns = list(turns_of(request.messages))
    kept = [turn for turn in turns[:-1] if _is_answered(turn)] + turns[-1:]
    if len(kept) < len(turns):
        yield _only(request, turns, kept)
    while len(kept) > 1:
        kept = _newer_half(kept)
        yield _only(request, turns, kept)
    for letters in _SHORT_RESULTS:
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
    return isinstance(message, ToolMessage) and len(str(message.content)) > letters


def _shortened(message: BaseMessage, letters: int) -> BaseMessage:
    if not _is_long(message, letters):
        return message
    return message.model_copy(update={"content": str(message.text)[:letters] + _CUT})
