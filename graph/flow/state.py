"""The state of a thread: its channels, and every reducer, once; and its messages as people see them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
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
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels import DeltaChannel, UntrackedValue
from langgraph.checkpoint.base import PendingWrite
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from core.errors import InvalidInput
from graph.db.tables import said

SNAPSHOT_EVERY = 40

OVERWRITE = "__overwrite__"
"""The key under which a client's JSON takes the place of all messages."""

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
        _replace(merged, places, message)
        return
    places[message.id] = len(merged)
    merged.append(message)


def _replace(merged: list[BaseMessage], places: dict[str | None, int], message: BaseMessage) -> None:
    """Put an edited message in its place. What was an answer to something else is none any more."""
    place = places[message.id]
    before, merged[place] = merged[place], message
    stale = _stale(before, message, merged[place + 1 :])
    if stale:
        merged[:] = [kept for kept in merged if kept.id not in stale]
        places.clear()
        places.update({kept.id: index for index, kept in enumerate(merged)})


def _stale(before: BaseMessage, now: BaseMessage, behind: Sequence[BaseMessage]) -> set[str | None]:
    """All behind the question of the last turn when it has changed; results of calls that have changed."""
    if isinstance(now, HumanMessage):
        last = not any(isinstance(later, HumanMessage) for later in behind)
        return {later.id for later in behind} if last and now.content != before.content else set()
    if not isinstance(before, AIMessage) or not isinstance(now, AIMessage):
        return set()
    same = [call for call in now.tool_calls if call in before.tool_calls]
    gone = {call["id"] for call in before.tool_calls} - {call["id"] for call in same}
    return {m.id for m in behind if isinstance(m, ToolMessage) and m.tool_call_id in gone}


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
    """The last text that was written; None empties it."""
    if not writes:
        return current
    return "" if writes[-1] is None else str(writes[-1])


def merge_files(
    current: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """Files of the thread by key; a later entry for a key replaces the earlier.

    Raises:
        InvalidInput: A new entry is none.
    """
    by_key = {file["key"]: file for file in [*(current or []), *_entries("files", new, "key")]}
    return list(by_key.values())


def collect_artifacts(
    current: list[dict[str, Any]] | None, new: list[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """Append by id; None empties the list.

    Raises:
        InvalidInput: A new entry is none.
    """
    if new is None:
        return []
    by_id = {artifact["id"]: artifact for artifact in [*(current or []), *_entries("artifacts", new, "id")]}
    return list(by_id.values())


def _entries(channel: str, given: Any, *fields: str) -> list[dict[str, Any]]:
    found = [] if given is None else given
    if not isinstance(found, list) or not all(_has(entry, fields) for entry in found):
        raise InvalidInput(f"`{channel}` is a list of objects, each with {' and '.join(fields)} as text")
    return found


def _has(entry: Any, fields: Sequence[str]) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(field), str) for field in fields)


def checked_input(given: Any) -> dict[str, Any]:
    """The input of a turn as it is stored: what is none is refused before anything of it is kept.

    Raises:
        InvalidInput: It is no object, or a part of it is not what it should be.
    """
    known = Input.__annotations__.keys()
    if not isinstance(given, dict) or given.keys() - known:
        raise InvalidInput("the input is an object with `messages`, and `files` where there are any")
    checked = dict(given)
    if "messages" in given:
        messages = _overwriting(given["messages"])
        checked["messages"] = messages if isinstance(messages, Overwrite) else as_messages(messages)
    if "files" in given:
        checked["files"] = _entries("files", given["files"], "key", "name")
    return checked


class Gate(Runnable[Any, dict[str, Any]]):
    """`checked_input` as a step, and nothing of what a RunnableLambda costs beside."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:  # noqa: A002 - LangChain's name
        return checked_input(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:  # noqa: A002 - LangChain's name
        return checked_input(input)


class Messages(DeltaChannel[list[AnyMessage]]):
    """Holds messages only, also where somebody overwrites them as a whole, which no reducer sees."""

    __slots__ = ()

    def update(self, values: Sequence[Any]) -> bool:
        return super().update([_overwriting(value) for value in values])

    def replay_writes(self, writes: Sequence[PendingWrite]) -> None:
        super().replay_writes([(task, name, _overwriting(value)) for task, name, value in writes])


def _overwriting(write: Any) -> Any:
    """The write; one that takes the place of all is read as messages."""
    if isinstance(write, dict) and set(write) == {OVERWRITE}:
        write = Overwrite(write[OVERWRITE])
    return Overwrite(merge_messages([], [write.value or []])) if isinstance(write, Overwrite) else write


class Input(TypedDict, total=False):
    """What starts a turn."""

    messages: Annotated[list[AnyMessage], Messages(merge_messages, snapshot_frequency=SNAPSHOT_EVERY)]
    files: Annotated[list[dict[str, Any]], merge_files]


class State(Input, total=False):
    """A thread between steps. `config` and `documents` live within a turn and are never stored."""

    config: Annotated[dict[str, Any], UntrackedValue(dict)]
    documents: Annotated[list[dict[str, Any]], UntrackedValue(list)]
    artifacts: Annotated[list[dict[str, Any]], collect_artifacts]
    # Notes on the turns that have left `messages`. A DeltaChannel too: SQLite's saver would
    # store any other channel again with each checkpoint, and this one changes once in several turns.
    summary: Annotated[str, DeltaChannel(newest, snapshot_frequency=1)]


ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}


def time_of(seconds: float) -> str:
    """Epoch seconds as people and machines are told a time: ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def text_of(message: BaseMessage) -> str:
    """The message's text without reasoning or images."""
    if isinstance(message.content, str):
        return message.content
    parts = [part if isinstance(part, str) else part.get("text", "") for part in message.content]
    return "".join(parts)


def extra_of(message: BaseMessage) -> dict[str, Any]:
    """What stands beside the text: the calls of an answer, the record of a tool's result."""
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [{"id": c["id"], "name": c["name"], "arguments": c["args"]} for c in message.tool_calls]
        return {"tool_calls": calls}
    if isinstance(message, ToolMessage):
        record = message.additional_kwargs.get("waystation", {})
        return {"tool_call_id": message.tool_call_id, "name": message.name, **record}
    return {}


def as_view(message: BaseMessage) -> dict[str, Any]:
    """One message as JSON."""
    role = ROLES.get(message.type, message.type)
    return {"id": message.id, "role": role, "text": text_of(message), **extra_of(message)}


def calls_of(messages: Iterable[BaseMessage]) -> list[str]:
    """Ids of the tool calls in these messages, in the order in which the model made them."""
    return [str(call["id"]) for m in messages if isinstance(m, AIMessage) for call in m.tool_calls]


def answer_in(messages: Sequence[BaseMessage]) -> str:
    """The text of the last answer among these; empty where the model still waits for tools."""
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    return text_of(last) if last and not last.tool_calls else ""


def in_order(messages: Iterable[BaseMessage], asked: Sequence[str]) -> list[BaseMessage]:
    """The messages with results in the order of their calls: they came in that of their ends."""
    places = {call_id: place for place, call_id in enumerate(asked)}

    def place(result: Any) -> int:
        return places.get(result.tool_call_id, len(places))

    found: list[BaseMessage] = []
    for are_results, group in groupby(messages, key=lambda message: isinstance(message, ToolMessage)):
        several = list(group)
        found += sorted(several, key=place) if are_results else several
    return found


def call_record(message: ToolMessage) -> dict[str, Any]:
    """A tool's result as the reply's `tool_calls` lists it."""
    record = message.additional_kwargs.get("waystation", {})
    return {
        "id": message.tool_call_id,
        "server": record.get("server", ""),
        "tool": record.get("tool", message.name or ""),
        "arguments": record.get("arguments", {}),
        "status": record.get("status", "ok"),
        "duration_ms": record.get("duration_ms", 0),
        **({"decision": record["decision"]} if "decision" in record else {}),
    }


def rows_of(
    thread_id: str,
    run_id: str,
    messages: Sequence[BaseMessage],
    extras: dict[str, dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Messages as rows of the transcript, for whoever adds them in a transaction of its own."""
    now = time.time()
    return [
        {
            "thread_id": thread_id,
            "message_id": message.id,
            "role": ROLES.get(message.type, message.type),
            **said(text_of(message)),
            "extra": {**extra_of(message), **(extras or {}).get(str(message.id), {})},
            "run_id": run_id,
            "created_at": now,
        }
        for message in messages
    ]


def partial_row(thread_id: str, run_id: str, attempt: int, text: str) -> dict[str, Any]:
    """An answer that was cut, as a row of the transcript."""
    message = AIMessage(text, id=f"partial_{run_id}_{attempt}")
    (row,) = rows_of(thread_id, run_id, [message], {str(message.id): {"partial": True}})
    return row
