"""What can go wrong on A2A alone."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, WaystationError


class SdkMissing(WaystationError):
    """The extra that reads this protocol is not installed."""

    code = "a2a_not_installed"
    title = "A2A is not installed here"


class NotJsonRpc(InvalidInput):
    """The body is no request of JSON-RPC 2.0."""

    code = "not_json_rpc"
    title = "The body is no JSON-RPC request"


class UnknownMethod(InvalidInput):
    """The protocol has no method of this name."""

    code = "unknown_method"
    title = "There is no such method"


class WrongVersion(InvalidInput):
    """The client speaks a version of A2A that is not spoken here."""

    code = "version_not_served"
    title = "This version of the protocol is not served"


class OutputNotServed(InvalidInput):
    """The client takes no kind of answer that this service gives."""

    code = "output_not_served"
    title = "No kind of answer that is asked for is given here"


class PushNotServed(WaystationError):
    """A task cannot tell its end to the URL that the client names."""

    code = "push_not_served"
    title = "Push notifications of this kind are not served"


class TaskNotWaiting(Conflict):
    """A message goes on with a task that does not wait for one."""

    code = "task_not_waiting"
    title = "The task does not wait for a message"
