"""An answer that is one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from core.foreign import as_bytes
from server.protocols.refusals import JSON


def answer_of(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The answer; whatever a model or a tool has put into it can be written."""
    return Response(as_bytes(dict(value)), headers=dict(headers or {}), media_type=JSON)
