"""What only a detailed run tells beside its events: under which id an answer stands, what each step wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import BaseMessage

DETAILS = frozenset({"answer", "step"})

# What a turn looks up for itself, the bytes of files, and notes for the model.
_INNER = frozenset({"config", "documents", "artifacts", "summary", "messages"})


def steps_in(update: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """An event for each step that wrote what a reader of the thread sees; messages as LangChain does."""
    for name, written in update.items():
        if name == "__interrupt__":
            continue
        for writes in written if isinstance(written, list) else [written]:
            if isinstance(writes, Mapping) and (told := _told(writes)):
                yield {"type": "step", "name": name, **told}


def _told(writes: Mapping[str, Any]) -> dict[str, Any] | None:
    said = writes.get("messages")
    messages = [m.model_dump(mode="json") for m in said or () if isinstance(m, BaseMessage)]
    others = {str(name): value for name, value in writes.items() if name not in _INNER and value is not None}
    return {"said": messages, "writes": others} if messages or others else None
