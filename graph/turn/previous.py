"""What an attempt that died had said, beside what of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from graph.flow.state import text_of
from graph.runs.events import EventStore
from graph.runs.record import Outcome, RunRecord, added

_FILE = ("key", "name", "media_type", "size")
_PASSAGE = frozenset({"n", "source", "document", "title"})
_TOKENS = ("input_tokens", "output_tokens")


def messages_after(messages: list[BaseMessage], message_id: str | None) -> list[BaseMessage]:
    """What stands behind the message; nothing where it is not there."""
    start = next((i for i, message in enumerate(messages) if message.id == message_id), len(messages))
    return messages[start + 1 :]


def lost_text(text: str, messages: list[BaseMessage], message_id: str | None) -> str:
    """What was heard of an answer to this message, unless the answer itself is there."""
    answers = [m for m in messages_after(messages, message_id) if isinstance(m, AIMessage)]
    return "" if any(text_of(answer).startswith(text) for answer in answers) else text


async def unsent(events: EventStore, run_id: str, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Answers that stand in the state and not whole in the run's events.

    Their process was gone when the checkpoint was stored and the events, which come behind it, were not: a
    reader has a part of the text, or nothing.
    """
    told, place, found = await events.text_of_run(run_id), 0, list[BaseMessage]()
    for message in messages:
        if isinstance(message, AIMessage) and (text := text_of(message)):
            at = told.find(text, place)
            if at < 0:
                found.append(message)
            else:
                place = at + len(text)
    return found


async def recall(events: EventStore, record: RunRecord, outcome: Outcome, state: Mapping[str, Any]) -> None:
    """Bring back what an attempt that died had gathered for the reply, beside messages.

    By what it told, and by what stands in the state: the events come a little behind that. Of a passage
    its place is known and its text is not, unless this attempt looks it up again.
    """
    if record.tries < 2:
        return
    told = await events.told(record.id, "file", "usage", "documents")
    by_kind: dict[str, list[dict[str, Any]]] = {"file": [], "usage": [], "documents": []}
    for event in told:
        by_kind[event["type"]].append(event)
    kept = [file for file in state.get("files") or () if file.get("run") == record.id]
    found = {file["key"]: file for file in [*outcome.files, *by_kind["file"], *kept]}
    outcome.files = [{name: file[name] for name in _FILE} for file in found.values()]
    _recall_usage(outcome, by_kind["usage"])
    for shown in by_kind["documents"][-1:]:
        items = [item for item in shown.get("items") or () if item.keys() >= _PASSAGE]
        outcome.documents = [{**item, "text": "", "uri": ""} for item in items]


def _recall_usage(outcome: Outcome, told: Sequence[Mapping[str, Any]]) -> None:
    """Of all attempts together; of events that were forgotten since, the reply before the pause knows."""
    if not told:
        return
    for name in _TOKENS:
        setattr(outcome, name, max(getattr(outcome, name), sum(event[name] for event in told)))
    outcome.model = told[-1]["model"]
    cost = None
    for event in told:
        cost = added(cost, event.get("cost"))
    if cost is not None:
        outcome.cost = max(outcome.cost or 0.0, cost)
