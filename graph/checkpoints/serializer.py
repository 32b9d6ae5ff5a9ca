"""Writes what checkpoints hold; a value that cannot be encoded costs itself, and not the thread."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from core.foreign import storable


class ForeignSerializer(JsonPlusSerializer):
    """LangGraph's serializer, which refuses halves of surrogate pairs and integers of more than 64 bits."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        try:
            return super().dumps_typed(obj)
        except (TypeError, ValueError):
            return super().dumps_typed(_mended(obj))


def _mended(value: Any) -> Any:
    """The value as it can be kept; messages stay messages, and what is no JSON is left to the serializer."""
    if isinstance(value, BaseMessage):
        fields = {name: _mended(field) for name, field in value if name != "type"}
        return type(value).model_construct(**fields)
    if isinstance(value, list | tuple):
        return type(value)(_mended(item) for item in value) if type(value) in (list, tuple) else value
    if isinstance(value, dict):
        return {_plain(key): _mended(item) for key, item in value.items()}
    return _plain(value)


def _plain(value: Any) -> Any:
    return storable(value, weight=None) if isinstance(value, str | int | float) else value
