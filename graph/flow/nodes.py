"""Anything that can be called as a node, made one: a function, a Runnable, an object, or its name."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_type_hints
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite

from core.context import RunContext
from core.errors import InvalidInput
from core.observability import node_span
from graph.flow.routing import REMARK
from graph.flow.state import OVERWRITE, State, as_messages
from graph.flow.steps import Steps

Node = Callable[[Any, Runtime[RunContext]], Any]
Swap = Node | type[Any] | str
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


class Written:
    """A step of somebody else: its messages are written as messages, each with an id.

    LangGraph takes a message alone, a pair of role and text, or a bare text, and
    gives it an id when it stores it. The transcript has to know the message under
    that id too, so it is made one, with its id, before anybody sees it.

    Args:
        answers: It stands in the model's place: what it says as the assistant is the answer.
    """

    def __init__(self, node: Any, *, answers: bool = False) -> None:
        self._node = node
        self._answers = answers

    async def __call__(self, state: Any, runtime: Runtime[RunContext]) -> Any:
        writes = await self._node(state, runtime)
        return [self._of(one) for one in writes] if isinstance(writes, list) else self._of(writes)

    def _of(self, writes: Any) -> Any:
        if isinstance(writes, Command):
            return replace(writes, update=self._of(writes.update))
        if not isinstance(writes, Mapping) or "messages" not in writes:
            return writes
        return {**writes, "messages": self._messages(writes["messages"])}

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
