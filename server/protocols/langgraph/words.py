"""Names of this wire: the one assistant, statuses, and messages and questions as LangChain writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid5

from langchain_core.messages import BaseMessage

from core.errors import NotFound, WaystationError

GRAPH = "waystation"
# What langgraph-api gives a graph's own assistant, so that it has the id that clients know from there.
_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
ASSISTANT = str(uuid5(_NAMESPACE, GRAPH))
# "agent" is what ready-made front ends ask for unless they are told otherwise.
_KNOWN = frozenset({GRAPH, ASSISTANT, "agent"})

THREAD_STATUS = {"idle": "idle", "running": "busy", "interrupted": "interrupted", "failed": "error"}
OUR_STATUS = {theirs: ours for ours, theirs in THREAD_STATUS.items()}
RUN_STATUS = {
    "queued": "pending",
    "running": "running",
    "done": "success",
    "failed": "error",
    "interrupted": "interrupted",
    "cancelled": "interrupted",
}

# Channels that live within a turn, hold the bytes of files, or notes for the model.
INNER = frozenset({"config", "documents", "artifacts", "summary"})
# What an endpoint wants back with its answer is between it and us.
_KEPT = ("waystation", "waystation_remark")
_EVENT = frozenset({"seq", "type", "run_id", "id"})


class NotOffered(WaystationError):
    """A part of a client's protocol that this service does not serve."""

    code = "not_offered"
    title = "This part of the protocol is not served here"


class AssistantNotFound(NotFound):
    """There is one assistant, and the request names another."""

    code = "assistant_not_found"
    title = "There is no such assistant"


def check_assistant(given: str) -> None:
    """Raises AssistantNotFound."""
    if given not in _KNOWN:
        raise AssistantNotFound(f"no assistant '{given[:80]}'; there is one, '{GRAPH}' ({ASSISTANT})")


def message_json(message: BaseMessage | Mapping[str, Any]) -> dict[str, Any]:
    """A message as LangChain writes it, without what its model's endpoint alone understands."""
    found = dict(message) if isinstance(message, Mapping) else message.model_dump(mode="json")
    kept = found.get("additional_kwargs") or {}
    found["additional_kwargs"] = {name: kept[name] for name in _KEPT if name in kept}
    return found


def values_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a state that a reader of the thread sees."""
    found = {"files": [], **{name: value for name, value in values.items() if name not in INNER}}
    found["messages"] = [message_json(message) for message in values.get("messages") or ()]
    return found


def question_json(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A question to a person, from its event or from a reply."""
    value = {name: part for name, part in asked.items() if name not in _EVENT}
    return {"value": value, "id": asked["id"]}


def questions_json(asked: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [question_json(one) for one in asked]


def error_json(error: Mapping[str, Any]) -> dict[str, Any]:
    """A failure as streams, `wait` and threads tell it."""
    return {"error": error.get("code") or "error", "message": error.get("detail") or error.get("title") or ""}
