"""The `openai` package for Node.js against a real service."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.clients import node
from waystation.testing.model_server import ModelServer, call, hang, refuse, say
from waystation.testing.service import Service


@pytest.fixture
def found(service: Service, model_server: ModelServer) -> Any:
    """What the script tells."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    model_server.script(say("Whole."), match="whole")
    model_server.script(say("Then."), match="and then")
    model_server.script(say("One two.", usage=usage), match="stream")
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), say("It is 8."), match="tools")
    model_server.script(call("weather", {"place": "Rome"}), say("Sunny then."), match="weather")
    model_server.script(refuse(401), match="broken")
    model_server.script(say("A response."), match="response")
    model_server.script(say("Behind it."), match="behind")
    model_server.script(say("By events."), match="events")
    model_server.script(hang(), match="background")
    return node("openai.mjs", "openai", service.url)


def test_the_package_for_node_reads_every_answer_of_ours(found: Any) -> None:
    assert found["models"][0] == "waystation"
    assert found["model"] == "waystation/offline"
    assert (found["whole"]["text"], found["whole"]["finish"]) == ("Whole.", "stop")
    assert found["sameThread"] is True
    assert "".join(found["streamed"]) == found["final"]["text"] == "One two."
    assert (found["final"]["finish"], found["final"]["usage"]["total_tokens"]) == ("stop", 10)
    assert found["tools"] == {"text": "It is 8.", "calls": None}
    assert found["unknownModel"] == {
        "kind": "NotFoundError",
        "status": 404,
        "code": "model_not_found",
        "param": None,
    }
    assert found["clientTools"] == "Sunny then."
    assert (found["broken"]["kind"], found["broken"]["code"]) == ("APIError", "model_refused")
    assert found["response"] == {"text": "A response.", "status": "completed"}
    assert found["behind"] == {"text": "Behind it.", "same": True}
    assert found["events"] == {
        "numbers": True,
        "first": "response.created",
        "last": "response.completed",
        "text": "By events.",
    }
    assert found["cancelled"] == "cancelled"
    assert found["retrieved"] == "A response."
    assert found["file"] == {
        "name": 'größe "1".csv',
        "lives": 7200,
        "content": "north,5\n",
        "listed": True,
        "used": True,
        "deleted": True,
        "gone": {"kind": "NotFoundError", "status": 404, "code": "file_not_found", "param": None},
    }
