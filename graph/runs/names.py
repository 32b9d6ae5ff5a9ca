"""Names of the fields of events: those of now, and those of the release before.

LangChain's JavaScript takes every object with a key `text` or `messages`, at any depth, for a prompt, and
keeps nothing else of it; so no field of an event is called that. What was stored under the former names is
read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The former name and the present one, by the type of the event.
FORMER: Mapping[str, tuple[str, str]] = {
    "token": ("text", "delta"),
    "reasoning": ("text", "delta"),
    "tool_result": ("text", "content"),
    "notice": ("text", "detail"),
    "interrupt": ("text", "detail"),
    "step": ("messages", "said"),
}
FORMER_NAMES = frozenset(old for old, _ in FORMER.values())

Fields = dict[str, Any]


def renewed(event: Fields) -> Fields:
    """An event with the names of now: one that an earlier release stored, or that a further step tells."""
    names = FORMER.get(event.get("type", ""))
    if names is not None and names[0] in event:
        return _renamed(event, *names)
    return renewed_reply(event)


def renewed_reply(output: Fields) -> Fields:
    """What a run put out, with the names of now in the questions that it waits with."""
    asked = output.get("interrupts")
    return {**output, "interrupts": [renewed_question(each) for each in asked]} if asked else output


def renewed_question(question: Fields) -> Fields:
    """What waits for a person, with the names of now."""
    return _renamed(question, *FORMER["interrupt"])


def former(event: Fields) -> Fields:
    """An event with the names of the release before, for callers who still read those."""
    names = FORMER.get(event.get("type", ""))
    if names is not None:
        return _renamed(event, names[1], names[0])
    return former_reply(event)


def former_reply(output: Fields) -> Fields:
    """What a run put out, with the names of the release before."""
    asked, (old, new) = output.get("interrupts"), FORMER["interrupt"]
    return {**output, "interrupts": [_renamed(each, new, old) for each in asked]} if asked else output


def _renamed(fields: Fields, old: str, new: str) -> Fields:
    """The same in the same order under another name. Where both are there, the one that stays counts."""
    if old not in fields:
        return fields
    return {new if key == old else key: fields[key] for key in fields if key != old or new not in fields}
