"""Nodes: anything that can be called as one is made one, and gets around it what a step needs.

What only a turn needs is looked up again by whichever step finds it missing: `config` and
`documents` are never stored, nor what further steps make of that kind. A turn that goes on
from a checkpoint, after a pause, from an older one or after an edit, begins without them,
and may begin at any step. So each step that reads them first runs the look-ups before it in
the graph, within its own task: the ids of tasks and questions stay what they are, and a
stop in front of a step is a stop in front of it, once.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, get_type_hints
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, GraphDrained
from langgraph.pregel._read import ChannelRead
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite

from core.access import RunContext
from core.errors import InvalidInput
from core.observability import node_span
from graph.errors import StepInvalid
from graph.flow.routing import REMARK, Ways, is_remark, this_turn
from graph.flow.state import OVERWRITE, State, as_messages
from graph.flow.steps import Steps

Swap = Callable[..., Any] | type[Any] | str
"""A node, its class, or its name."""


class AnyNode:
    """Makes a node of a function, or of an object that does not say what it reads: it reads everything."""

    def __init__(self, node: Callable[..., Any]) -> None:
        self._node = node
        self._alone = _takes_state_alone(node)

    async def __call__(self, state: State, runtime: Runtime[RunContext]) -> Any:
        writes = self._node(state) if self._alone else self._node(state, runtime)
        return _channels_of(await writes if inspect.isawaitable(writes) else writes)


class RunnableNode:
    """Makes a node of a LangChain Runnable: it is given the state."""

    def __init__(self, runnable: Runnable[Any, Any]) -> None:
        self._runnable = runnable

    async def __call__(self, state: State, runtime: Runtime[RunContext]) -> Any:
        return _channels_of(await self._runnable.ainvoke(state, get_config()))


def _channels_of(writes: Any) -> Any:
    """A message, or messages, alone: they are written to `messages`."""
    several = isinstance(writes, list) and bool(writes) and all(isinstance(m, BaseMessage) for m in writes)
    return {"messages": writes} if several or isinstance(writes, BaseMessage) else writes


def _takes_state_alone(node: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(node).parameters.values()
    except (TypeError, ValueError):  # what is written in C may have no signature
        return False
    kinds = [p.kind for p in parameters if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    return len(kinds) == 1 and kinds[0] is not inspect.Parameter.VAR_POSITIONAL


def swapped(steps: Steps, swap: Mapping[str, Swap]) -> Steps:
    """The table, with the nodes of `swap` in the places of the steps of the same names.

    Raises:
        InvalidInput: There is no step of that name, or its replacement cannot be used.
    """
    for name in swap:
        if name not in steps.by_name:
            raise InvalidInput(f"there is no step '{name}'; steps: {', '.join(steps.by_name)}")
    return steps.running({name: node_of(node) for name, node in swap.items()})


def node_of(given: Any) -> Any:
    """The node itself; a class is made without arguments.

    Raises:
        InvalidInput: It cannot be found, made or called.
    """
    node: Any = _named(given) if isinstance(given, str) else given
    if isinstance(node, type):
        try:
            node = node()
        except TypeError as error:
            raise InvalidInput(f"{error}; name an object that is ready instead of its class") from error
    if not callable(node) and not isinstance(node, Runnable):
        raise InvalidInput(f"'{given}' cannot be called; a node is called with (state, runtime)")
    if not isinstance(node, Runnable) and (problem := _call_problem(node)):
        raise InvalidInput(f"'{given}' {problem}")
    return reader(node)


def _call_problem(node: Callable[..., Any]) -> str:
    """Why a call would fail, or give nothing that can be written; "" when it would not."""
    called = node if inspect.isroutine(node) else getattr(node, "__call__", node)  # noqa: B004 - asked whether it yields
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        return "yields; a node returns what it writes"
    try:
        signature = inspect.signature(node)
    except (TypeError, ValueError):  # what is written in C may have no signature
        return ""
    try:
        signature.bind(*([None] if _takes_state_alone(node) else [None, None]))
    except TypeError as error:
        return f"cannot be called with (state) or (state, runtime): {error}"
    return ""


def reader(node: Any) -> Any:
    """The node; one that does not say what it reads reads everything."""
    if isinstance(node, Runnable):
        return RunnableNode(node)
    return node if _says_what_it_reads(node) else AnyNode(node)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InvalidInput(f"'{name}' names no node; write module:attribute")
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"'{name}' cannot be imported: {error}") from error


def _says_what_it_reads(node: Any) -> bool:
    if inspect.isroutine(node):
        return False
    try:
        reads = get_type_hints(type(node).__call__).get("state")
    except (NameError, TypeError):  # annotations that only their own module, or nobody, can read
        return False
    # `Any` and `dict` are classes too, and name nothing.
    return isinstance(reads, type) and bool(getattr(reads, "__annotations__", None))


class Traced:
    """Runs `node` inside a span named after its step; the node itself knows nothing of tracing."""

    def __init__(self, name: str, node: Any) -> None:
        self._name = name
        self._node = node

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        with node_span(self._name, calm=(GraphBubbleUp,)):
            return await self._node(state, runtime)


class ForeignStep:
    """A step of somebody else: its messages are written as messages, each with an id.

    LangGraph takes a message alone, a pair of role and text, or a bare text, and
    gives it an id when it stores it. The transcript has to know the message under
    that id too, so it is made one, with its id, before anybody sees it.

    Args:
        name: The step's.
        channels: Those that there are: LangGraph drops what is written to any other without a word.
        answers: It stands in the model's place: what it says as the assistant is the answer.
    """

    def __init__(self, node: Any, name: str, channels: Set[str], *, answers: bool = False) -> None:
        self._node = node
        self._name = name
        self._channels = channels
        self._answers = answers

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        writes = await self._node(state, runtime)
        return [self._of(one) for one in writes] if isinstance(writes, list) else self._of(writes)

    def _of(self, writes: Any) -> Any:
        if isinstance(writes, Command):
            return replace(writes, update=self._of(writes.update))
        if writes is None:
            return None
        if not isinstance(writes, Mapping):
            kind = type(writes).__name__
            raise StepInvalid(f"step '{self._name}' returned {kind}; return channels, messages or nothing")
        if unknown := [str(name) for name in writes if name not in self._channels]:
            raise StepInvalid(
                f"step '{self._name}' wrote to '{unknown[0]}', which is no channel; bring it with channels=,"
                f" or write to {', '.join(sorted(self._channels))}"
            )
        if "messages" not in writes:
            return writes
        try:
            return {**writes, "messages": self._messages(writes["messages"])}
        except InvalidInput as error:
            raise StepInvalid(f"step '{self._name}': {error.detail}") from error

    def _messages(self, written: Any) -> Any:
        """The messages; those that take the place of all are the reducer's business."""
        if isinstance(written, Overwrite) or (isinstance(written, dict) and set(written) == {OVERWRITE}):
            return written
        return [self._marked(message) for message in as_messages([] if written is None else written)]

    def _marked(self, message: BaseMessage) -> BaseMessage:
        """With an id; a further step's new message of an assistant is no answer of a model."""
        if message.id:
            return message
        new: dict[str, Any] = {"id": f"m-{uuid4().hex}"}
        if isinstance(message, AIMessage) and not message.tool_calls and not self._answers:
            new["additional_kwargs"] = {**message.additional_kwargs, REMARK: True}
        return message.model_copy(update=new)


@dataclass(frozen=True, slots=True)
class Lookup:
    """A step that runs before the model is called.

    Args:
        node: Who works on the turn hears of it.
        silent: The same, of which nobody hears.
        makes: The channel that it is there for.
    """

    node: Any
    silent: Any
    makes: str


@dataclass(frozen=True, slots=True)
class Lookups:
    """The look-ups before a step, in the order of the graph.

    Args:
        turn: The channels that live within a turn, and the type of each.
    """

    steps: Sequence[Lookup]
    turn: Mapping[str, type]

    @property
    def made(self) -> set[str]:
        return {lookup.makes for lookup in self.steps}

    async def make(
        self,
        missing: Set[str],
        state: Mapping[str, Any],
        runtime: Runtime[RunContext],
        *,
        silent: bool = False,
    ) -> dict[str, Any]:
        """The missing channels, made by their steps. What these write elsewhere is stored already."""
        found: dict[str, Any] = {}
        for lookup in self.steps:
            if lookup.makes in missing:
                found.setdefault(lookup.makes, self.turn[lookup.makes]())
                node = lookup.silent if silent else lookup.node
                found |= self.of_the_turn(await node({**state, **found}, runtime))
                if runtime.drain_requested and not silent:
                    # As LangGraph does behind a step of its own: no model is asked any more.
                    raise GraphDrained
        return found

    def of_the_turn(self, writes: Any) -> dict[str, Any]:
        written = writes.update if isinstance(writes, Command) else writes
        known = written if isinstance(written, Mapping) else {}
        return {name: value for name, value in known.items() if name in self.turn}

    def joined(self, found: Mapping[str, Any], writes: Any) -> Any:
        """What was looked up and what a step wrote, in any of the forms that LangGraph takes."""
        if not found:
            return writes
        if writes is None:
            return dict(found)
        if isinstance(writes, Mapping):
            return {**found, **writes}
        several = list(writes) if isinstance(writes, (list, tuple)) else [writes]
        own = set().union(*(self.of_the_turn(one) for one in several))
        return [{name: value for name, value in found.items() if name not in own}, *several]


class Supplied:
    """A step that is never without what only a turn needs.

    Args:
        needs: What it reads of what lives within a turn.
        makes: What it is there for itself: it then is told as made, whatever the step wrote.
        reads: All that it reads, where the look-ups read more; the step is given these alone.
    """

    def __init__(
        self,
        node: Any,
        lookups: Lookups,
        needs: frozenset[str],
        *,
        makes: str = "",
        reads: Set[str] | None = None,
    ) -> None:
        self._node = node
        self._reads = reads
        self._lookups = lookups
        self._needs = needs & lookups.made
        self._made = {makes: lookups.turn[makes]()} if makes else {}

    async def __call__(self, state: Mapping[str, Any], runtime: Runtime[RunContext]) -> Any:
        missing = self._needs - state.keys()
        found = await self._lookups.make(missing, state, runtime) if missing else {}
        given = {**state, **found} if found else state
        if self._reads is not None:
            given = {name: value for name, value in given.items() if name in self._reads}
        return self._lookups.joined({**self._made, **found}, await self._node(given, runtime))


class SuppliedCall:
    """A step that gets its state from `Send`: one call, and what was looked up when it was asked for.

    LangGraph stores no part of that which lives within a turn. So a later
    attempt looks it up again: rights may have changed.

    Args:
        channels: Those that the look-ups may read.
        model: The step that asks for calls.
    """

    def __init__(
        self, node: Any, lookups: Lookups, *, channels: Sequence[str], ways: Ways, model: str
    ) -> None:
        self._node = node
        self._lookups = lookups
        self._channels = list(channels)
        self._refusal = f"'{ways.tools}' makes a call that the model asked for; go to '{model}'"

    async def __call__(self, state: Mapping[str, Any], runtime: Runtime[RunContext]) -> Any:
        if "call" not in state:
            raise InvalidInput(self._refusal)
        if not state.get("config"):
            # Several calls run at once: none of them tells of it, and the next step looks up for itself.
            mute = runtime.override(stream_writer=lambda _: None)
            # The channels as the running step finds them; those without a value are left out.
            now: dict[str, Any] = ChannelRead.do_read(get_config(), select=self._channels)
            state = {**state, **await self._lookups.make({"config"}, now, mute, silent=True)}
        return await self._node(state, runtime)


class Asked:
    """The step that calls the model: it refuses where nobody has said anything that is not answered yet."""

    def __init__(self, node: Any) -> None:
        self._node = node

    async def __call__(self, state: Mapping[str, Any], runtime: Runtime[RunContext]) -> Any:
        messages = state.get("messages") or []
        if not any(isinstance(message, HumanMessage) for message in messages):
            raise InvalidInput("there is no message of a user to answer; send one in `messages`")
        said = [m for m in this_turn(messages) if isinstance(m, AIMessage) and not is_remark(m)]
        if any(not message.tool_calls for message in said):
            raise InvalidInput("the user's last message has its answer; send another one in `messages`")
        return await self._node(state, runtime)
