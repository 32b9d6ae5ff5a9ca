"""Requests by the protocol's own schema: `a2a-sdk` parses them, and says what is missing."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.foreign import as_json
from graph.errors import RunNotFound
from server.attachments import Content, Sent
from server.errors import InvalidRequest, UnsupportedParameter
from server.protocols.a2a.errors import SdkMissing, UnknownMethod
from server.requests import ID_PATTERN, check_options

# Each method with the message of its parameters.
METHODS: Mapping[str, str] = {
    "SendMessage": "SendMessageRequest",
    "SendStreamingMessage": "SendMessageRequest",
    "GetTask": "GetTaskRequest",
    "ListTasks": "ListTasksRequest",
    "CancelTask": "CancelTaskRequest",
    "SubscribeToTask": "SubscribeToTaskRequest",
    "CreateTaskPushNotificationConfig": "TaskPushNotificationConfig",
    "GetTaskPushNotificationConfig": "GetTaskPushNotificationConfigRequest",
    "ListTaskPushNotificationConfigs": "ListTaskPushNotificationConfigsRequest",
    "DeleteTaskPushNotificationConfig": "DeleteTaskPushNotificationConfigRequest",
    "GetExtendedAgentCard": "GetExtendedAgentCardRequest",
}
_FILE = re.compile(r"/files/([A-Za-z0-9_-]{1,64})/content$")
# A turn has a message; files may come without one.
_ALONE = "(a file)"


def parsed(method: str, params: Any) -> Any:
    """The parameters of a call, as the message that the method takes.

    Raises:
        SdkMissing: The package that knows the messages is not installed.
        UnknownMethod: There is no such method.
        InvalidRequest: The parameters do not fit it.
    """
    if method not in METHODS:
        raise UnknownMethod(f"no method '{method[:80]}'; there are {', '.join(METHODS)}")
    try:
        from a2a.types import a2a_pb2  # noqa: PLC0415 - with the first request, see the package
        from a2a.utils.errors import InvalidParamsError  # noqa: PLC0415
        from a2a.utils.proto_utils import validate_proto_required_fields  # noqa: PLC0415
        from google.protobuf.json_format import ParseDict, ParseError  # noqa: PLC0415
    except ImportError as error:
        raise SdkMissing("A2A needs the package a2a-sdk: pip install 'waystation[a2a]'") from error
    found = getattr(a2a_pb2, METHODS[method])()
    try:
        ParseDict({} if params is None else params, found, ignore_unknown_fields=True)
        validate_proto_required_fields(found)
    except InvalidParamsError as error:
        raise InvalidRequest(f"params: {_missing(error)}") from None
    except (ParseError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidRequest(f"params: {_plain(error)}") from None
    return found


def _missing(error: Any) -> str:
    found = (error.data or {}).get("errors") or ()
    told = [f"{each.get('field')}: {each.get('message')}" for each in found]
    return "; ".join(told[:5])[:500] or "something that is required is missing"


def _plain(error: Exception) -> str:
    """What the parser says, without names of its classes."""
    return str(error).replace("\n", " ")[:300] or "do not fit the method"


@dataclass(frozen=True, slots=True)
class Message:
    """What a client says.

    Args:
        task_id: The task that it goes on with.
        context_id: The thread that it is said on.
        data: What stands in its parts of data.
        options: As in `configurable`.
    """

    id: str
    task_id: str
    context_id: str
    content: Content
    data: Sequence[Any]
    options: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All that is said, as one message: data as JSON."""
        told = [self.content.text, *(as_json(one) for one in self.data)]
        return "\n\n".join(one for one in told if one.strip()) or (_ALONE if self.content.files else "")


def message_of(request: Any) -> Message:
    """The message of a request.

    Raises:
        InvalidRequest, UnsupportedParameter: A part or a wish is not taken.
    """
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    given = request.message
    if given.role != 1:
        raise InvalidRequest("params.message.role: must be ROLE_USER")
    texts, files, data = list[str](), list[Sent](), list[Any]()
    for place, part in enumerate(given.parts):
        kind = part.WhichOneof("content")
        if kind == "text":
            texts.append(part.text)
        elif kind == "data":
            data.append(_numbers(MessageToDict(part.data)))
        elif kind in ("raw", "url"):
            files.append(_file(part, f"params.message.parts.{place}", len(files) + 1))
        else:
            raise InvalidRequest(f"params.message.parts.{place}: has neither text, raw, url nor data")
    notes = _numbers({**MessageToDict(request.metadata), **MessageToDict(given.metadata)})
    content = Content("\n\n".join(texts), tuple(files))
    found = Message(given.message_id, given.task_id, given.context_id, content, data, _options(notes))
    if found.context_id and not re.fullmatch(ID_PATTERN, found.context_id):
        raise InvalidRequest("params.message.contextId: must be 1 to 64 letters, digits, - or _")
    return found


def task_id_of(given: str) -> str:
    """An id of a task. What cannot be one is one that there is not.

    Raises:
        RunNotFound: It is none.
    """
    if not re.fullmatch(ID_PATTERN, given):
        raise RunNotFound(given[:80])
    return given


def _numbers(value: Any) -> Any:
    """The value with whole numbers as such: protobuf's JSON has one kind of number, and gives 4 as 4.0."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        return {name: _numbers(one) for name, one in value.items()}
    return [_numbers(one) for one in value] if isinstance(value, list) else value


def _options(notes: Mapping[str, Any]) -> dict[str, Any]:
    own = notes.get("waystation") or {}
    if not isinstance(own, Mapping):
        raise InvalidRequest("params.metadata.waystation: must be an object")
    if "thread_id" in own:
        raise InvalidRequest("params.metadata.waystation.thread_id: here it is the message's contextId")
    found = check_options(own, "params.metadata.waystation").model_dump()
    # Tasks outlive connections: a client comes back with SubscribeToTask.
    return {**found, "on_disconnect": found.get("on_disconnect") or "continue"}


def _file(part: Any, where: str, number: int) -> Sent:
    """A file: its bytes, or the address of one of ours as a task tells it."""
    if part.WhichOneof("content") == "url":
        found = _FILE.search(part.url)
        if found is None:
            raise UnsupportedParameter(
                where, "addresses are not fetched; send the bytes as raw, or upload to /files"
            )
        return Sent(key=found[1])
    name = part.filename or f"file-{number}"
    return Sent(name, part.media_type, base64.b64encode(part.raw).decode())
