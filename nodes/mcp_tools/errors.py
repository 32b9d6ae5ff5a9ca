"""What can go wrong between us and a tool server."""

from __future__ import annotations

from core.errors import InvalidInput, NotFound, TimedOut, TooLarge, Unavailable


class UnknownServer(NotFound):
    """No tool server of this name that the caller may know of."""

    code = "unknown_server"
    title = "No such tool server"


class UnknownTool(NotFound):
    """The server has no tool of this name."""

    code = "unknown_tool_of_server"
    title = "No such tool"


class ServerDown(Unavailable):
    """The tool server could not be started or reached."""

    code = "tool_server_down"
    title = "A tool server is down"


class ServerGone(Unavailable):
    """The connection ended while a call was going.

    `sent` is False when the request certainly never left us, so that it can
    be sent again without doing anything twice.
    """

    code = "tool_server_gone"
    title = "A tool server went away"

    def __init__(self, detail: str = "", *, sent: bool = True) -> None:
        super().__init__(detail)
        self.sent = sent


class CallTimedOut(TimedOut):
    """A tool call passed its time limit."""

    code = "tool_timed_out"
    title = "A tool call took too long"


class ResultTooLarge(TooLarge):
    """A server sent a result that is too large to be read at all."""

    code = "tool_result_too_large"
    title = "A tool's result is too large"


class ToolRefused(InvalidInput):
    """The server answered the request itself with a protocol error."""

    code = "tool_refused"
    title = "The tool server refused the call"
