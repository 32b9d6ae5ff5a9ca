"""A2A 0.3 beside 1.0: requests in its words, and answers that its own package reads."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.compat.v0_3 import types as old
from google.protobuf.json_format import MessageToDict

from graph.runs.webhook_body import EARLIER_TASK, webhook_body
from server.errors import InvalidRequest
from server.protocols.a2a import earlier
from server.protocols.a2a.errors import UnknownMethod
from server.protocols.a2a.reading import METHODS, parsed

STATUS = {"state": "TASK_STATE_INPUT_REQUIRED", "timestamp": "2026-11-30T08:00:00.000Z"}
SAID = {"messageId": "m", "contextId": "t", "taskId": "r", "role": "ROLE_AGENT"}
PARTS = [
    {"text": "May it?"},
    {"data": {"interrupts": []}},
    {"url": "http://here/files/k/content", "filename": "a.csv", "mediaType": "text/csv"},
]
ARTIFACT = {"artifactId": "r-answer", "name": "answer", "parts": PARTS}
TASK: dict[str, Any] = {
    "id": "r",
    "contextId": "t",
    "status": {**STATUS, "message": {**SAID, "parts": PARTS}},
    "artifacts": [ARTIFACT],
    "history": [{**SAID, "role": "ROLE_USER", "parts": [{"text": "hi"}]}],
    "metadata": {"waystation": {"attempts": 1}},
}


def read(method: str, params: Any) -> dict[str, Any]:
    """The parameters as 1.0 has them, by its own schema."""
    found: dict[str, Any] = MessageToDict(parsed(*earlier.method_of(method, params)))
    return found


def test_every_method_is_one_of_1_0() -> None:
    assert set(earlier.METHODS.values()) == set(METHODS) - {"ListTasks"}


def test_a_message_is_read_with_its_parts_and_wishes() -> None:
    parts = [
        {"kind": "text", "text": "hello"},
        {"kind": "data", "data": {"a": 1}},
        {"kind": "file", "file": {"bytes": "aGVsbG8=", "name": "a.txt", "mimeType": "text/plain"}},
        {"kind": "file", "file": {"uri": "http://here/files/k/content"}},
    ]
    sent = {
        "message": {"kind": "message", "messageId": "m", "role": "user", "contextId": "t", "parts": parts},
        "configuration": {
            "blocking": False,
            "historyLength": 2,
            "acceptedOutputModes": ["text/plain"],
            "pushNotificationConfig": {
                "url": "https://x.example/",
                "authentication": {"schemes": ["Bearer"]},
            },
        },
        "metadata": {"waystation": {"model": "m"}},
    }
    found = read("message/send", sent)
    assert found["message"] == {
        "messageId": "m",
        "contextId": "t",
        "role": "ROLE_USER",
        "parts": [
            {"text": "hello"},
            {"data": {"a": 1}},
            {"raw": "aGVsbG8=", "filename": "a.txt", "mediaType": "text/plain"},
            {"url": "http://here/files/k/content"},
        ],
    }
    assert found["metadata"] == {"waystation": {"model": "m"}}
    assert found["configuration"] == {
        "returnImmediately": True,
        "historyLength": 2,
        "acceptedOutputModes": ["text/plain"],
        "taskPushNotificationConfig": {"url": "https://x.example/", "authentication": {"scheme": "theirs"}},
    }


def test_no_history_is_not_asked_for_by_nothing_and_who_says_nothing_waits() -> None:
    message = {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}
    sent = {"message": message, "configuration": {"historyLength": 0, "blocking": True}}
    assert read("message/stream", sent)["configuration"] == {}
    assert "configuration" not in read("message/stream", {"message": message})


@pytest.mark.parametrize(
    ("method", "params", "found"),
    [
        ("tasks/get", {"id": "r", "historyLength": 3}, {"id": "r", "historyLength": 3}),
        ("tasks/cancel", {"id": "r"}, {"id": "r"}),
        ("tasks/resubscribe", {"id": "r"}, {"id": "r"}),
        (
            "tasks/pushNotificationConfig/set",
            {"taskId": "r", "pushNotificationConfig": {"url": "https://x.example/", "token": "t"}},
            {"taskId": "r", "url": "https://x.example/", "token": "t"},
        ),
        (
            "tasks/pushNotificationConfig/get",
            {"id": "r", "pushNotificationConfigId": "c"},
            {"taskId": "r", "id": "c"},
        ),
        ("tasks/pushNotificationConfig/get", {"id": "r"}, {"taskId": "r", "id": "r"}),
        ("tasks/pushNotificationConfig/list", {"id": "r"}, {"taskId": "r"}),
        ("agent/getAuthenticatedExtendedCard", None, {}),
    ],
)
def test_what_is_asked_of_a_task_is_read(method: str, params: Any, found: dict[str, Any]) -> None:
    assert read(method, params) == found


@pytest.mark.parametrize(
    "params",
    [
        7,
        {"message": 7},
        {"message": {"messageId": "m", "role": ["user"], "parts": []}},
        {"message": {"messageId": "m", "role": "user", "parts": {"kind": "text"}}},
        {"message": {"messageId": "m", "role": "user", "parts": [{"kind": "file", "file": {"bytes": 7}}]}},
        {"message": {"messageId": "m", "role": "user", "parts": [{"text": "x"}]}, "configuration": 7},
        {
            "message": {"messageId": "m", "role": "user", "parts": [{"text": "x"}]},
            "configuration": {"blocking": "no"},
        },
        {
            "message": {"messageId": "m", "role": "user", "parts": [{"text": "x"}]},
            "configuration": {"pushNotificationConfig": 7},
        },
    ],
)
def test_what_has_another_type_is_refused_by_a_sentence(params: Any) -> None:
    with pytest.raises(InvalidRequest, match="params: "):
        read("message/send", params)


def test_a_method_that_0_3_does_not_have_is_unknown() -> None:
    with pytest.raises(UnknownMethod, match="message/send"):
        earlier.method_of("SendMessage", {})


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            "task 'r' is TASK_STATE_INPUT_REQUIRED; ask for it with GetTask",
            "task 'r' is input-required; ask for it with tasks/get",
        ),
        (
            "params.configuration.taskPushNotificationConfig.url: must be a full address",
            "params.configuration.pushNotificationConfig.url: must be a full address",
        ),
        ("there is no run 'r_1'", "there is no run 'r_1'"),
    ],
)
def test_a_refusal_names_methods_fields_and_states_as_0_3_does(ours: str, theirs: str) -> None:
    assert earlier.sentence_of(ours) == theirs


def test_tasks_are_read_by_the_package_of_0_3() -> None:
    [told, shown] = [
        old.Task.model_validate(earlier.answer_of(method)(result))
        for method, result in (("SendMessage", {"task": TASK}), ("GetTask", TASK))
    ]
    assert told == shown
    assert told.status.state is old.TaskState.input_required
    assert told.status.message is not None
    assert told.status.message.role is old.Role.agent
    assert told.artifacts is not None
    text, data, file = (part.root for part in told.artifacts[0].parts)
    assert isinstance(text, old.TextPart)
    assert isinstance(data, old.DataPart)
    assert isinstance(file, old.FilePart)
    assert isinstance(file.file, old.FileWithUri)
    assert (file.file.name, file.file.mime_type) == ("a.csv", "text/csv")
    assert told.history is not None
    assert told.history[0].role is old.Role.user


@pytest.mark.parametrize(
    ("state", "final"), [("WORKING", False), ("COMPLETED", True), ("AUTH_REQUIRED", True)]
)
def test_a_status_says_whether_it_is_the_last(state: str, final: bool) -> None:
    update = {"taskId": "r", "contextId": "t", "status": {**STATUS, "state": f"TASK_STATE_{state}"}}
    found = old.TaskStatusUpdateEvent.model_validate(
        earlier.answer_of("SendStreamingMessage")({"statusUpdate": update})
    )
    assert (found.final, found.status.message) == (final, None)


def test_pieces_and_configurations_are_read_by_the_package_of_0_3() -> None:
    piece = {"taskId": "r", "contextId": "t", "artifact": ARTIFACT, "append": True}
    found = old.TaskArtifactUpdateEvent.model_validate(
        earlier.answer_of("SubscribeToTask")({"artifactUpdate": piece})
    )
    assert (found.append, found.artifact.name) == (True, "answer")
    config = {"taskId": "r", "id": "r", "url": "https://x.example/"}
    one = earlier.answer_of("GetTaskPushNotificationConfig")(config)
    assert old.TaskPushNotificationConfig.model_validate(one).push_notification_config.id == "r"
    assert earlier.answer_of("ListTaskPushNotificationConfigs")({"configs": [config]}) == [one]


def test_a_push_notification_is_a_task() -> None:
    shown = {"run_id": "r_1", "thread_id": "t1", "status": "interrupted", "output": None}
    found = old.Task.model_validate(webhook_body(EARLIER_TASK, shown))
    assert (found.id, found.context_id, found.status.state) == ("r_1", "t1", old.TaskState.input_required)
