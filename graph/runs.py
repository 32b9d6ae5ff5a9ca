"""A turn as a task of its own; whoever wants to know subscribes to its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.access import Principal
from core.context import Approval
from core.correlation import current
from core.errors import WaystationError
from core.observability import traceparent
from graph.events import EventLog

OnDisconnect = Literal["cancel", "continue"]


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a caller asks for; exactly one of message and resume.

    Args:
        principal: The authenticated caller.
        files: Keys of uploaded files that go with the message.
        resume: Answers to interrupts: `{"approve": bool, "reason"?: str}` for
            all that wait, or one such object per interrupt id.
        thread_id: None starts a new thread.
        sources, tools: None means all that the caller may use.
    """

    principal: Principal
    message: str = ""
    files: tuple[str, ...] = ()
    resume: Mapping[str, Any] | None = None
    thread_id: str | None = None
    model: str = ""
    sources: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    temperature: float | None = None
    max_steps: int | None = None
    approval: Approval = "ask"
    on_disconnect: OnDisconnect = "cancel"


@dataclass(slots=True)
class Outcome:
    """What a run has gathered so far; becomes its reply."""

    messages: list[Any] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    interrupts: list[dict[str, Any]] = field(default_factory=list)
    streamed: list[str] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    status: str = ""


class Run:
    """A running or finished turn."""

    def __init__(self, run_id: str, thread_id: str, request: TurnRequest) -> None:
        self.id = run_id
        self.thread_id = thread_id
        self.request = request
        self.log = EventLog(run_id)
        self.task: asyncio.Task[None] | None = None
        self.error: WaystationError | None = None
        self.reply: dict[str, Any] | None = None
        # The turn runs in a context of its own; what it belongs to is taken along here.
        self.request_id = current().request_id
        self.traceparent = traceparent()

    def events(self, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The run's events above number `after`; the last one is `done` or `error`."""
        return self.log.read(after)

    async def result(self) -> dict[str, Any]:
        """The reply, when the run has ended.

        Raises:
            WaystationError: The turn failed.
        """
        if self.task:
            await asyncio.wait([self.task])
        if self.error:
            raise self.error
        assert self.reply is not None, "a run that ended without an error has a reply"  # noqa: S101 - an invariant
        return self.reply

    def cancel(self) -> None:
        """End the run at once; its log closes with `done`, status cancelled."""
        if self.task:
            self.task.cancel()

    def leave(self) -> None:
        """The reader that started the run went away: the run ends or goes on, as its caller chose."""
        if self.request.on_disconnect == "cancel" and not self.log.closed:
            self.cancel()
