"""A value that no encoder takes costs itself, and not the checkpoint."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from graph.checkpoints.carrying import ForeignSerializer

SERDE = ForeignSerializer(allowed_msgpack_modules=None)


def kept(value: Any) -> Any:
    return SERDE.loads_typed(SERDE.dumps_typed(value))


@pytest.mark.parametrize("value", [None, b"x", {"a": [1, "b"]}, [HumanMessage("hi", id="1")], ("a", 1)])
def test_what_can_be_kept_is_kept_as_it_is(value: Any) -> None:
    assert kept(value) == (list(value) if isinstance(value, tuple) else value) or kept(value) == value


def test_m1_2_what_cannot_be_encoded_is_replaced_and_messages_stay_messages() -> None:
    call = {"name": "a", "args": {"big": 2**80, "half": "\ud800"}, "id": "c", "type": "tool_call"}
    message = AIMessage("x\ud800", id="m", additional_kwargs={"odd": {2**80: (1, 2**70)}})
    message.tool_calls = [call]  # type: ignore[list-item]  # a plain dict, as a model writes it
    found = kept({"messages": [message, HumanMessage("ok", id="h")], "artifacts": ["\udc00"]})
    first, second = found["messages"]
    assert (first.content, first.id, second.content) == ("x?", "m", "ok")
    assert first.tool_calls[0]["args"] == {"big": str(2**80), "half": "?"}
    assert found["artifacts"] == ["?"]
