"""What an example says of a route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
BYTES = "application/octet-stream"
FORM = "multipart/form-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A request that works, and what comes back.

    Args:
        answer: The body; None where there is none (204).
        body: What is sent; None where nothing is.
        sends, media: The media types of what is sent, and of the answer.
        path: Values for the placeholders of the path.
        query: Query parameters that the example goes with.
        summary, description: In place of the route's own, for routes that others describe.
    """

    answer: Any
    body: Any = None
    sends: str = JSON
    media: str = JSON
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    description: str = ""


def events(*found: str) -> str:
    """Server-sent events as they stand on the wire."""
    return "\n\n".join(found) + "\n\n"
