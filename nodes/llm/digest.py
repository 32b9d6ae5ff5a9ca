"""Notes on a conversation's beginning, for a model that is no longer sent it; made without a model.

    Asked: What is the fee for a boat of nine metres?
    Answered: Boats of eight metres and more pay fifteen euros a night.

An entry stands for a turn: the question, and the first sentence of its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

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
