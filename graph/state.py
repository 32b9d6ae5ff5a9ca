"""The state of a thread: its channels, and every reducer, once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langgraph.channels import DeltaChannel, UntrackedValue
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from typing_extensions import TypedDict

from core.errors import InvalidInput

SNAPSHOT_EVERY = 40

_SHOWN = 200
_KINDS: dict[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "tool": ToolMessage,
    "system": SystemMessage,
    "remove": RemoveMessage,
}


def merge_messages(current: list[BaseMessage], writes: Sequence[Any]) -> list[BaseMessage]:
    """Append messages; one with a known id replaces it, RemoveMessage removes it.

    Deterministic and indifferent to how writes are batched, as DeltaChannel
    asks: a message that comes without an id gets one from its place and text.
    """
    # A server that only reads a thread has its messages as JSON, in what is written and in what is there.
    merged = as_messages(current)
    places = {message.id: index for index, message in enumerate(merged)}
    for write in writes:
        for message in as_messages(write):
            _merge_one(merged, places, message)
    return merged


def _merge_one(merged: list[BaseMessage], places: dict[str | None, int], message: BaseMessage) -> None:
    if isinstance(message, RemoveMessage):
        if message.id == REMOVE_ALL_MESSAGES:
            merged.clear()
        elif message.id in places:
            del merged[places[message.id]]
        places.clear()
        places.update({kept.id: index for index, kept in enumerate(merged)})
        return
    if message.id is None:
        message = message.model_copy(update={"id": _id_for(message, len(merged), places)})
    if message.id in places:
        merged[places[message.id]] = message
        return
    places[message.id] = len(merged)
    merged.append(message)


def _id_for(message: BaseMessage, place: int, places: dict[str | None, int]) -> str:
    """An id from place and text. Places come again once messages leave: one that is taken is passed over."""
    while True:
        digest = hashlib.sha256(f"{place}:{message.type}:{message.content}".encode()).hexdigest()
        if f"m_{digest[:24]}" not in places:
            return f"m_{digest[:24]}"
        place += 1


def as_messages(written: Any) -> list[BaseMessage]:
    """What stands in `messages`, or is written there, as messages.

    Raises:
        InvalidInput: Something of it is none.
    """
    found = written if isinstance(written, list) else [written]
    return [one if isinstance(one, BaseMessage) else _message(one) for one in found]


def _message(form: Any) -> BaseMessage:
    """A message from one of the forms that clients send; one that was written out whole comes back whole."""
    kind = _KINDS.get(str(form.get("type"))) if isinstance(form, dict) and "role" not in form else None
    try:
        return kind.model_validate(form) if kind else convert_to_messages([form])[0]
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
        pass
    try:
        return convert_to_messages([form])[0]
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
        raise InvalidInput(
            f"this is no message: {str(form)[:_SHOWN]}; write it as"
            ' {"type": "human", "content": "..."}, or with type "ai" or "tool"'
        ) from None


def newest(current: str, writes: Sequence[Any]) -> str:
    """The last text that was written."""
    return str(writes[-1]) if writes else current


def merge_files(
    current: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """Files of the thread by key; a later entry for a key replaces the earlier."""
    by_key = {file["key"]: file for file in [*(current or []), *(new or [])]}
    return list(by_key.values())


def collect_artifacts(
    current: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """Append by id; None empties the list."""
    if new is None:
        return []
    by_id = {artifact["id"]: artifact for artifact in [*(current or []), *new]}
    return list(by_id.values())


class Input(TypedDict, total=False):
    """What starts a turn."""

    messages: Annotated[list[AnyMessage], DeltaChannel(merge_messages, snapshot_frequency=SNAPSHOT_EVERY)]
    files: Annotated[list[dict[str, Any]], merge_files]


class State(Input, total=False):
    """A thread between steps. `config` and `documents` live within a turn and are never stored."""

    config: Annotated[dict[str, Any], UntrackedValue(dict)]
    documents: Annotated[list[dict[str, Any]], UntrackedValue(list)]
    artifacts: Annotated[list[dict[str, Any]], collect_artifacts]
    # Notes on the turns that have left `messages`. A DeltaChannel too: SQLite's saver would
    # store any other channel again with each checkpoint, and this one changes once in several turns.
    summary: Annotated[str, DeltaChannel(newest, snapshot_frequency=1)]
