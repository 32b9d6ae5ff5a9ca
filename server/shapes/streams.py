"""What each stream sends, event by event, and how that comes into the description."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from server.shapes.events import LangChainEvent, LogPatch, MessageChunk, RunEvent

STREAMS: Mapping[tuple[str, str], Any] = {
    ("POST", "/agent/stream"): RunEvent,
    ("GET", "/runs/{run_id}/events"): RunEvent,
    ("POST", "/agent/stream_log"): LogPatch,
    ("POST", "/agent/stream_events"): LangChainEvent,
    ("POST", "/chat/stream"): MessageChunk,
    ("POST", "/chat/stream_log"): LogPatch,
    ("POST", "/chat/stream_events"): LangChainEvent,
}
"""By method and path, what stands in `data` of an event that is called `data`."""

_REFERENCE = "#/components/schemas/{model}"


def item_schema(route: tuple[str, str], schemas: dict[str, Any]) -> dict[str, Any]:
    """`itemSchema` of a stream (OpenAPI 3.2, which FastAPI writes for streams too): one event of it.

    Args:
        schemas: The description's own, to which those of the events are added.
    """
    made = _described(STREAMS[route])
    for name, schema in made["$defs"].items():
        schemas.setdefault(name, schema)
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": made["items"]}
    return {"type": "object", "properties": {"event": _EVENT, "id": _ID, "data": data}}


@cache
def _described(event: Any) -> dict[str, Any]:
    # As items of a list it is named, and not written out here.
    return TypeAdapter(list[event]).json_schema(mode="serialization", ref_template=_REFERENCE)


_EVENT = {
    "type": "string",
    "enum": ["metadata", "data", "error", "end"],
    "description": "`data`, and `end` behind the last; those of LangChain begin with `metadata`.",
}
_ID = {"type": "string", "description": "The event's `seq`, for the header Last-Event-ID."}
