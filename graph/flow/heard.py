"""Who hears a turn: what its steps tell while they work, and when each begins and ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from core.access import RunContext
from core.observability.tracing import code_of

Tell = Callable[[Any], None]
# Of a run that goes round for long; its events tell the rest.
MOST_STEPS = 500


@dataclass(slots=True)
class StepTime:
    """When a step worked, in seconds of `time.monotonic`. `end` is how it ended: "" while it works.

    ok, interrupted (it waits for a person), cancelled, or the code of an error.
    """

    name: str
    began: float
    ended: float = 0.0
    end: str = ""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended = time.monotonic()
        if error is None:
            self.end = "ok"
        elif isinstance(error, GraphBubbleUp):
            self.end = "interrupted"
        else:
            self.end = "cancelled" if isinstance(error, asyncio.CancelledError) else code_of(error)


class StepTimes(list[StepTime]):
    """The steps of an attempt in the order in which they began."""

    def of(self, name: str) -> StepTime:
        """A step that begins now; use it as a context manager."""
        step = StepTime(name, time.monotonic())
        if len(self) < MOST_STEPS:
            self.append(step)
        return step


@dataclass(frozen=True, slots=True)
class _Ear:
    tell: Tell
    steps: StepTimes
    begins: Callable[[str], object]


_ear: ContextVar[_Ear | None] = ContextVar("waystation_step_events", default=None)


@contextmanager
def heard_by(
    tell: Tell, steps: StepTimes | None = None, begins: Callable[[str], object] = lambda _: None
) -> Iterator[None]:
    """In the block, and in tasks that are made there, `tell` gets what steps tell, in the loop's thread.

    Args:
        steps: Gets the times of each step.
        begins: Told the name of each step as it begins.
    """
    home, loop = threading.get_ident(), asyncio.get_running_loop()

    def at_home(event: Any) -> None:
        if threading.get_ident() == home:
            tell(event)
        else:
            loop.call_soon_threadsafe(tell, event)

    token = _ear.set(_Ear(at_home, StepTimes() if steps is None else steps, begins))
    try:
        yield
    finally:
        _ear.reset(token)


class Heard:
    """A step whose events go straight to whoever hears this turn.

    LangGraph's own stream takes a queue, a signal to the loop, and a task for each event.
    What is told there, by `get_stream_writer`, is heard too.
    """

    def __init__(self, name: str, node: Any) -> None:
        self._name = name
        self._node = node

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        ear = _ear.get()
        if ear is None:
            return await self._node(state, runtime)
        ear.begins(self._name)
        with ear.steps.of(self._name):
            return await self._node(state, runtime.override(stream_writer=ear.tell))
