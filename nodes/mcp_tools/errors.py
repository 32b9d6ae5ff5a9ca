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
    be sent again without doing anything twice. `over` says that the session has ended with it.
    """

    code = "tool_server_gone"
    title = "A tool server went away"

    def __init__(self, detail: str = "", *, sent: bool = True, over: bool = False) -> None:
        super().__init__(detail)
        self.sent = sent
        self.over = over


class ServerFailed(ServerGone):
    """An HTTP server, or what stands before it, answered one call with a failure; its session goes on.

    `sent` is False where the status says that nothing was begun. It is never made again by itself.
    """

    code = "tool_server_failed"
    title = "A tool server failed"


class CallTimedOut(TimedOut):
    """A tool call passed its time limit."""

    code = "tool_timed_out"
    title = "A tool call took too long"


class ResultTooLarge(TooLarge):
    """A server sent a result that is too large to be read at all. The tool has done its work."""

    code = "tool_result_too_large"
    title = "A tool's result is too large"


class AnswerUnreadable(InvalidInput):
    """A server answered with something that is no answer. Whether the tool did its work is unknown."""

    code = "tool_answer_unreadable"
    title = "A tool server's answer cannot be read"


class ArgumentsTooLarge(TooLarge):
    """The arguments are over what servers accept; nothing was sent."""

    code = "tool_arguments_too_large"
    title = "A tool's arguments are too large"


class ToolRefused(InvalidInput):
    """The server answered the request itself with a protocol error; `rpc_code` is the number of it."""

    code = "tool_refused"
    title = "The tool server refused the call"

    def __init__(self, detail: str = "", *, rpc_code: int | None = None) -> None:
        super().__init__(detail)
        self.rpc_code = rpc_code


class StatusRefused(ToolRefused):
    """An HTTP server refused one request with a status; nothing was done."""

    code = "tool_http_refused"
    title = "The tool server refused the request"

    def __init__(self, detail: str = "", *, status: int = 0, rpc_code: int | None = None) -> None:
        super().__init__(detail, rpc_code=rpc_code)
        self.status = status


class NotMcp(InvalidInput):
    """What answers at a server's address does not speak MCP."""

    code = "not_mcp"
    title = "There is no MCP endpoint at the address"
