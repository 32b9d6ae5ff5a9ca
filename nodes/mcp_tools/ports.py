"""What this module needs from outside, in its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from core.access import Principal
from core.errors import Unavailable
from nodes.mcp_tools.models import (
    Ask,
    CallResult,
    ExecutionContext,
    Progress,
    Receipt,
    ToolInfo,
    ToolList,
    ToolOutcome,
)
from nodes.mcp_tools.settings import ServerEntry


@dataclass(frozen=True, slots=True)
class Listener:
    """How a connection speaks up between calls; both return at once.

    Args:
        changed: The server's list of tools is another one now.
        lost: The connection has ended, with the reason.
    """

    changed: Callable[[], None]
    lost: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Observer:
    """Who is told about a server, without waiting.

    Args:
        up: A session is open.
        down: It is not up any more, or did not come up, and why; once until `up`.
        listed: The server said which tools it has.
    """

    up: Callable[[], None]
    down: Callable[[str], None]
    listed: Callable[[Sequence[ToolInfo]], None]


class ToolConnection(Protocol):
    """An open session with one server. Calls may overlap."""

    @property
    def pid(self) -> int | None: ...

    async def tools(self) -> ToolList:
        """Every tool of the server now that can be called, and what was left out of its list.

        Raises:
            ServerGone: The connection has ended.
            ToolRefused: The server does not list its tools.
        """
        ...

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        ask: Ask | None = None,
    ) -> CallResult:
        """Call a tool and wait for its answer; cancelling tells the server to stop.

        The trace of the caller's task goes with the call.

        Args:
            ask: Answers questions that the server asks in the middle of the call, in the caller's
                task; without it they are declined. A question that cannot be told to belong to
                this call is never put to it. What it raises ends the call, as cancelling does.

        Raises:
            ServerGone: The connection ended before the answer came.
            ServerFailed: An HTTP status says that this one call failed.
            ToolRefused: The server refused the request itself.
            AnswerUnreadable: The answer is none. One with odd parts is read part by part.
            ResultTooLarge: The answer is over the size that is read at all.
            ArgumentsTooLarge: Nothing was sent, since no server would take that much.
        """
        ...

    async def alive(self) -> bool:
        """True when the server answers a ping; cancelling gives up waiting."""
        ...


class ToolConnector(Protocol):
    """Opens connections. The context is entered and left in the same task."""

    def open(
        self, name: str, entry: ServerEntry, listener: Listener, *, max_result_bytes: int
    ) -> AbstractAsyncContextManager[ToolConnection]: ...


class Receipts(Protocol):
    """Remembers calls over crashes, so that none is made twice by itself."""

    async def begin(self, context: ExecutionContext) -> Receipt:
        """What is known of the call; where that is nothing, it is noted as begun before this returns.

        Raises:
            WaystationError: It could not be noted, and must not be made.
        """
        ...

    async def end(self, context: ExecutionContext, outcome: ToolOutcome) -> None:
        """Keep how the call ended."""
        ...

    async def forget(self, context: ExecutionContext) -> None:
        """Take back `begin`: the call was ended before it did anything, and may be made again."""
        ...


class FileLinks(Protocol):
    """Signed, expiring addresses of files."""

    async def link(self, key: str, *, principal: Principal) -> str: ...


class NoFileLinks:
    """For this module alone: there are no files of a thread, so none can be linked."""

    async def link(self, key: str, *, principal: Principal) -> str:
        raise Unavailable("files of a thread cannot be reached from here; run the whole service")


class OwnTools(Protocol):
    """Tools of the service itself, for turns whose thread has files. They only read."""

    def find(self, name: str) -> ToolInfo | None:
        """The tool of this name."""
        ...

    async def call(self, tool: str, arguments: Mapping[str, Any], context: ExecutionContext) -> CallResult:
        """Call it under the rights of the context's principal.

        Raises:
            WaystationError: It cannot be done; the model is told why.
        """
        ...


class NoOwnTools:
    """For this module alone."""

    def find(self, name: str) -> ToolInfo | None:
        return None

    async def call(self, tool: str, arguments: Mapping[str, Any], context: ExecutionContext) -> CallResult:
        raise Unavailable("the service itself has no tools here")
