"""What an attempt that died had said, beside what of it is kept."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage

from graph.flow.state import text_of
from graph.runs.events import EventStore


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
