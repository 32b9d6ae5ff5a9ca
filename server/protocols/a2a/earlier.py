"""A2A 0.3 at the same address: its requests as those of 1.0, and our answers in its words.

Its methods have other names, and what they carry says its `kind`
(https://a2a-protocol.org/v0.3.0/specification/). Many agents' packages speak nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from graph.runs.webhook_body import EARLIER_TASK, earlier_state
from server.protocols.a2a.errors import UnknownMethod

Json = Mapping[str, Any]
# Each with the method of 1.0 that does the same.
METHODS: Mapping[str, str] = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": "GetExtendedAgentCard",
}
VERSION = "0.3"
TOLD_AS = EARLIER_TASK
# A client reads a stream up to the first status of these.
_LAST = frozenset({"completed", "failed", "canceled", "input-required", "auth-required"})
_WORD = re.compile(r"[A-Za-z_]+")
# What stands in our sentences, and how it is called in 0.3.
_WORDS: Mapping[str, str] = {
    **{new: old for old, new in METHODS.items()},
    "taskPushNotificationConfig": "pushNotificationConfig",
}
_ROLES = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}


def card_fields(url: str) -> dict[str, Any]:
    """What stands on the agent's card for clients of 0.3, beside the fields of 1.0."""
    return {
        "url": url,
        "preferredTransport": "JSONRPC",
        "protocolVersion": f"{VERSION}.0",
        "supportsAuthenticatedExtendedCard": True,
    }


# -- requests -----------------------------------------------------------------------------------------


def method_of(method: str, params: Any) -> tuple[str, Any]:
    """The method of 1.0 and its parameters. What has another type than it should is left for 1.0 to refuse.

    Raises:
        UnknownMethod: 0.3 has no such method.
    """
    if method not in METHODS:
        raise UnknownMethod(f"no method '{method[:80]}' in A2A {VERSION}; there are {', '.join(METHODS)}")
    found = METHODS[method]
    if not isinstance(params, Mapping):
        return found, params
    if "message" in params:
        return found, _sending(params)
    if method == "tasks/pushNotificationConfig/set":
        return found, {"taskId": params.get("taskId"), **_push(params.get("pushNotificationConfig"))}
    if method.startswith("tasks/pushNotificationConfig/"):
        # Here the task alone may be named, and means its one configuration, which has the same id.
        same = params.get("id") if method.endswith("/get") else None
        which = params.get("pushNotificationConfigId", same)
        return found, _without({"taskId": params.get("id"), "id": which})
    return found, _history({"id": params.get("id"), "historyLength": params.get("historyLength")})


def _sending(params: Json) -> dict[str, Any]:
    message, wish = params["message"], params.get("configuration")
    if isinstance(message, Mapping):
        parts, role = message.get("parts"), message.get("role")
        message = {
            **message,
            "role": _ROLES.get(role, role) if isinstance(role, str) else role,
            "parts": [_part(part) for part in parts] if isinstance(parts, list) else parts,
        }
    if isinstance(wish, Mapping):
        push, blocking = wish.get("pushNotificationConfig"), wish.get("blocking")
        wish = _history(
            {
                "acceptedOutputModes": wish.get("acceptedOutputModes"),
                "historyLength": wish.get("historyLength"),
                "taskPushNotificationConfig": _push(push) if push is not None else None,
                "returnImmediately": not blocking if isinstance(blocking, bool) else blocking,
            }
        )
    return _without({"message": message, "configuration": wish, "metadata": params.get("metadata")})


def _part(part: Any) -> Any:
    file = part.get("file") if isinstance(part, Mapping) else None
    if not isinstance(file, Mapping):
        return part
    names = (("bytes", "raw"), ("uri", "url"), ("name", "filename"), ("mimeType", "mediaType"))
    return {new: file[old] for old, new in names if file.get(old) is not None}


def _push(config: Any) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        return {"url": config}
    found = {name: config.get(name) for name in ("url", "id", "token")}
    # Which login it is does not matter: none is kept, so 1.0 refuses each.
    login = {"scheme": "theirs"} if config.get("authentication") else None
    return _without({**found, "authentication": login})


def _history(wish: dict[str, Any]) -> dict[str, Any]:
    """In 0.3, no messages are asked for by nothing: 0 is all of them."""
    return _without({**wish, "historyLength": wish.get("historyLength") or None})


def _without(given: Json) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


# -- answers ------------------------------------------------------------------------------------------


def answer_of(method: str) -> Callable[[Json], Any]:
    """What makes an answer of this method of 1.0 one of 0.3."""
    return _ANSWERS.get(method, lambda result: result)


def sentence_of(told: str) -> str:
    """A sentence about what was refused, in the words of 0.3."""
    return _WORD.sub(lambda found: _worded(found[0]), told)


def _worded(word: str) -> str:
    return earlier_state(word) if word.startswith("TASK_STATE_") else _WORDS.get(word, word)


def _told(result: Json) -> dict[str, Any]:
    """A task, or what becomes of one."""
    if "task" in result:
        return _task(result["task"])
    if "statusUpdate" in result:
        update = dict(result["statusUpdate"])
        status = _status(update["status"])
        return {**update, "kind": "status-update", "status": status, "final": status["state"] in _LAST}
    update = dict(result["artifactUpdate"])
    return {**update, "kind": "artifact-update", "artifact": _artifact(update["artifact"])}


def _task(task: Json) -> dict[str, Any]:
    found = {**task, "kind": "task", "status": _status(task["status"])}
    if "artifacts" in task:
        found["artifacts"] = [_artifact(one) for one in task["artifacts"]]
    if "history" in task:
        found["history"] = [_message(one) for one in task["history"]]
    return found


def _status(status: Json) -> dict[str, Any]:
    found = {**status, "state": earlier_state(str(status["state"]))}
    return {**found, "message": _message(status["message"])} if "message" in status else found


def _message(message: Json) -> dict[str, Any]:
    role = str(message["role"]).removeprefix("ROLE_").lower()
    return {**message, "kind": "message", "role": role, "parts": [_shown(part) for part in message["parts"]]}


def _artifact(artifact: Json) -> dict[str, Any]:
    return {**artifact, "parts": [_shown(part) for part in artifact["parts"]]}


def _shown(part: Json) -> dict[str, Any]:
    if "url" in part:
        file = {"uri": part["url"], "name": part["filename"], "mimeType": part["mediaType"]}
        return {"kind": "file", "file": file}
    return {"kind": "text" if "text" in part else "data", **part}


def _config(config: Json) -> dict[str, Any]:
    own = {name: config[name] for name in ("id", "url")}
    return {"taskId": config["taskId"], "pushNotificationConfig": own}


def _configs(result: Json) -> list[dict[str, Any]]:
    return [_config(one) for one in result["configs"]]


_ANSWERS: Mapping[str, Callable[[Json], Any]] = {
    "SendMessage": _told,
    "SendStreamingMessage": _told,
    "SubscribeToTask": _told,
    "GetTask": _task,
    "CancelTask": _task,
    "GetTaskPushNotificationConfig": _config,
    "ListTaskPushNotificationConfigs": _configs,
}
