"""What differs between two checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph.types import StateSnapshot

from graph.flow.messages import as_view
from graph.threads.history.look import checkpoint_view, interrupts_of

SHOWN_LETTERS = 500
_TOLD_APART = frozenset({"messages", "files"})


def difference(before: StateSnapshot, after: StateSnapshot) -> dict[str, Any]:
    """What was added, removed and changed from one state to the other.

    Messages are told apart by id and files by key. Of other channels those
    are listed whose value differs, long texts in them cut.
    """
    return {
        "from": checkpoint_view(before),
        "to": checkpoint_view(after),
        "messages": _between(_messages(before), _messages(after), lambda message: str(message["id"])),
        "files": _between(
            before.values.get("files") or [], after.values.get("files") or [], lambda file: str(file["key"])
        ),
        "channels": _channels(before.values, after.values),
        "next": _pair(list(before.next), list(after.next)),
        "interrupts": _pair(interrupts_of(before), interrupts_of(after)),
    }


def _messages(snapshot: StateSnapshot) -> list[dict[str, Any]]:
    return [as_view(message) for message in snapshot.values.get("messages") or []]


def _between(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], name: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    old, new = ({name(item): item for item in side} for side in (before, after))
    return {
        "added": [item for key, item in new.items() if key not in old],
        "removed": [item for key, item in old.items() if key not in new],
        "changed": [_pair(old[key], item) for key, item in new.items() if key in old and old[key] != item],
    }


def _channels(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name in sorted((before.keys() | after.keys()) - _TOLD_APART):
        old, new = before.get(name), after.get(name)
        if old != new:
            found[name] = _pair(_short(old), _short(new))
    return found


def _pair(old: Any, new: Any) -> dict[str, Any]:
    return {"from": old, "to": new}


def _short(value: Any) -> Any:
    """The value as JSON, without the bulk: the content of an artifact is megabytes of base64."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _short(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_short(item) for item in value]
    text = str(value)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}… ({len(text)} characters)"
