"""Where a turn goes next, what stays in the working window, how LangGraph runs a step, and who hears it.

The whole conversation stands in the transcript. The window is what a
checkpoint carries, so that a turn costs the same however long its thread is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph._internal._runnable import RunnableCallable, RunnableSeq
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from core.access import RunContext
from core.observability.tracing import code_of
from core.settings.book import Editions
from core.settings.platform import LimitSettings, ThreadSettings
from graph.errors import StepLimit
from graph.flow.state import State
from nodes.llm.prompt import digest


@dataclass(frozen=True, slots=True)
class Ways:
    """The names of the steps that a turn may go to behind the model's answer."""

    begin: str
    tools: str
    files: str


class AfterModel:
    """To the tools, one task per call, while the model asks for them; then to the files.

    Args:
        editions: The limits: model calls that a turn may make where its config
            says nothing, and tool calls.
    """

    def __init__(self, editions: Editions) -> None:
        self._editions = editions

    def ways(
        self, ways: Ways, *, tools_ahead: str = "", short: bool = False
    ) -> Callable[[State], list[Send] | str]:
        """The decision between these steps.

        Args:
            tools_ahead: The first of further steps ahead of the tools; the last of them makes the calls.
            short: A turn without files may end here.
        """

        def after_model(state: State) -> list[Send] | str:
            calls = self._calls(state)
            if not calls and _reopened(state):
                return ways.begin
            if not calls:
                return END if short and _is_over(state) else ways.files
            return tools_ahead or sent(ways.tools, state, calls)

        return after_model

    def _calls(self, state: State) -> list[ToolCall]:
        turn = this_turn(state.get("messages", []))
        answers = [message for message in turn if isinstance(message, AIMessage) and not is_remark(message)]
        calls = answers[-1].tool_calls if answers else []
        if not calls:
            return []
        limits = self._editions.now().book[LimitSettings]
        # Empty where somebody writes in the model's place, between turns or in the middle of one.
        config = state.get("config") or {}
        steps = config.get("max_steps") or limits.steps
        if len(answers) >= steps:
            raise StepLimit(
                f"the model still asks for tools after {steps} steps; raise max_steps or ask for less"
            )
        if sum(len(answer.tool_calls) for answer in answers) > limits.tool_calls:
            raise StepLimit(f"the model asked for more than {limits.tool_calls} tool calls in one turn")
        return list(calls)


def sent(tools: str, state: State, calls: Sequence[ToolCall]) -> list[Send]:
    """A task for each call."""
    shared = {"config": state.get("config") or {}, "files": state.get("files", [])}
    return [Send(tools, {"call": call, **shared}) for call in calls]


def at_once(begin: str, model: str) -> Callable[[State], str]:
    """To the look-ups, or straight to the model's step, which makes them where it finds them missing."""

    def after_start(state: State) -> str:
        return model if goes_straight() else begin

    return after_start


def _is_over(state: State) -> bool:
    """Whether nothing comes behind the answer: there is no file, and nobody wants to see each step.

    Nor does anybody where no turn is going: what is written behind one that ended here leaves it ended.
    """
    has_files = state.get("artifacts") or state.get("files")
    return not has_files and (goes_straight() or not state.get("config"))


def ahead_of_tools(ways: Ways) -> Callable[[State], list[Send] | str]:
    """Behind further steps ahead of the tools: the calls that are still asked for, or the end of the turn."""

    def after_ahead(state: State) -> list[Send] | str:
        answers = [message for message in state.get("messages", []) if isinstance(message, AIMessage)]
        calls = answers[-1].tool_calls if answers else []
        return sent(ways.tools, state, calls) if calls else ways.files

    return after_ahead


def after_files(begin: str) -> Callable[[State], str]:
    """The turn is over; one whose question was edited just now begins again."""

    def after_end(state: State) -> str:
        return begin if _reopened(state) else END

    return after_end


def way(decide: Callable[[State], Any]) -> RunnableCallable:
    """The decision as a part of the graph: LangGraph calls a plain function in a thread."""

    async def decided(state: State) -> Any:
        return decide(state)

    return RunnableCallable(decide, decided, name=decide.__name__, trace=False)


def _reopened(state: State) -> bool:
    """Whether somebody has changed the question from outside: nothing answers it, and no turn is going."""
    messages = state.get("messages", [])
    return not state.get("config") and bool(messages) and isinstance(messages[-1], HumanMessage)


REMARK = "waystation_remark"
"""Under this key of `additional_kwargs` an assistant's message says that no model made it."""


def is_remark(message: BaseMessage) -> bool:
    """Whether a step of a further module said it, in front of the model's answer or behind it."""
    return bool(message.additional_kwargs.get(REMARK))


def this_turn(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages from the last human one on."""
    start = max((i for i, message in enumerate(messages) if message.type == "human"), default=0)
    return list(messages[start:])


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a thread its state keeps.

    Args:
        turns: At least so many of the newest turns, and up to a quarter more:
            several turns leave at once, so that what a model is sent begins at
            the same place for several turns, and its endpoint's cache works.
        summary: Continue the notes on the turns that leave.
    """

    turns: int
    summary: bool = True

    @classmethod
    def of(cls, settings: ThreadSettings) -> Window | None:
        """The window of the settings; None where a state keeps everything."""
        if settings.window == "all":
            return None
        return cls(settings.window, summary=settings.summary == "digest")

    @property
    def most(self) -> int:
        """As many turns as a state has at most when a turn has ended."""
        return self.turns + self.turns // 4

    def cut(self, messages: Sequence[BaseMessage]) -> int:
        """How many of the first messages leave; 0 while there is room."""
        starts = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
        return starts[-self.turns] if len(starts) > self.most else 0


class Windowed:
    """The step that calls the model; its final answer also takes the oldest turns out of the state.

    It sees the messages and writes one of its own anyway: neither a checkpoint
    nor a reading more.
    """

    def __init__(self, node: Any, window: Window) -> None:
        self._node = node
        self._window = window

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        writes = await self._node(state, runtime)
        return trimmed(self._window, state, writes) if _ends_the_turn(writes) else writes


def trimmed(window: Window, state: Mapping[str, Any], writes: Mapping[str, Any]) -> dict[str, Any]:
    """The writes of a turn's last model call, with the removal of the turns that leave the window.

    Removals stand first: the answer stays the last message. A result goes with its call, wherever it stands.
    """
    messages = cast(Sequence[BaseMessage], state["messages"])
    cut = window.cut(messages)
    if not cut:
        return dict(writes)
    gone = messages[:cut]
    calls = {call["id"] for message in gone if isinstance(message, AIMessage) for call in message.tool_calls}
    late = [message for message in messages[cut:] if _answers(message, calls)]
    removals = [RemoveMessage(id=message.id) for message in [*gone, *late] if message.id]
    new = [message for message in writes["messages"] if not _answers(message, calls)]
    summary = {"summary": digest(state.get("summary") or "", gone)} if window.summary else {}
    return {**writes, "messages": [*removals, *new], **summary}


def _ends_the_turn(writes: Any) -> bool:
    messages = writes.get("messages") if isinstance(writes, Mapping) else None
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, AIMessage) and not last.tool_calls


def _answers(message: BaseMessage, calls: set[str | None]) -> bool:
    return isinstance(message, ToolMessage) and message.tool_call_id in calls


class LeanStep(RunnableSeq):
    """A step and what writes its result, in the task that LangGraph has made for it.

    LangGraph tells callbacks of each step's beginning and end and makes it a task of its own, with a
    context for tracers. Where somebody listens (LangSmith, a caller's callbacks), it is as ever.
    """

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's name
        if config is None or _has_callbacks(config.get("callbacks")):
            return await super().ainvoke(input, config, **kwargs)
        step, *writers = self.steps
        token = var_child_runnable_config.set(config)
        try:
            written = await step.ainvoke(input, config, **kwargs)
        finally:
            var_child_runnable_config.reset(token)
        for writer in writers:
            written = await writer.ainvoke(written, config)
        return written


def _has_callbacks(callbacks: Any) -> bool:
    if isinstance(callbacks, BaseCallbackManager):
        return bool(callbacks.handlers or callbacks.inheritable_handlers)
    return True


def run_lean(graph: CompiledStateGraph[Any, Any, Any, Any], names: Collection[str]) -> None:
    """Let these steps of the graph be run so."""
    for name in names:
        node = graph.nodes[name]
        if type(node.node) is RunnableSeq:
            # What LangGraph keeps there it makes again by itself for a copy of the graph.
            node.__dict__["node"] = LeanStep(*node.node.steps, trace_policy=node.trace_policy)


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
class _Observer:
    tell: Tell
    steps: StepTimes
    begins: Callable[[str], object]
    wrote: Callable[[str, Any], object]
    straight: bool


_observer: ContextVar[_Observer | None] = ContextVar("waystation_step_events", default=None)


@contextmanager
def observed_by(
    tell: Tell,
    steps: StepTimes | None = None,
    begins: Callable[[str], object] = lambda _: None,
    wrote: Callable[[str, Any], object] = lambda *_: None,
    *,
    straight: bool = False,
) -> Iterator[None]:
    """In the block, and in tasks that are made there, `tell` gets what steps tell, in the loop's thread.

    Args:
        steps: Gets the times of each step.
        begins: Told the name of each step as it begins.
        wrote: Told the name of each step that ends, and what it writes.
        straight: Turns leave out what is made within the model's step as well, and what has nothing to do.
    """
    home, loop = threading.get_ident(), asyncio.get_running_loop()

    def at_home(event: Any) -> None:
        if threading.get_ident() == home:
            tell(event)
        else:
            loop.call_soon_threadsafe(tell, event)

    token = _observer.set(
        _Observer(at_home, StepTimes() if steps is None else steps, begins, wrote, straight)
    )
    try:
        yield
    finally:
        _observer.reset(token)


def goes_straight() -> bool:
    """Whether the turn that this task works on is heard by somebody who has it go straight."""
    observer = _observer.get()
    return observer is not None and observer.straight


class ObservedStep:
    """A step whose events go straight to whoever hears this turn.

    LangGraph's own stream takes a queue, a signal to the loop, and a task for each event.
    What is told there, by `get_stream_writer`, is heard too.
    """

    def __init__(self, name: str, node: Any) -> None:
        self._name = name
        self._node = node

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        observer = _observer.get()
        if observer is None:
            return await self._node(state, runtime)
        observer.begins(self._name)
        with observer.steps.of(self._name):
            writes = await self._node(state, runtime.override(stream_writer=observer.tell))
        observer.wrote(self._name, writes)
        return writes
