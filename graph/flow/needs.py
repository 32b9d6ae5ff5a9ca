"""What only a turn needs is looked up again by whichever step finds it missing.

`config` and `documents` are never stored, nor what further steps make of that
kind. A turn that goes on from a checkpoint, after a pause, from an older one or
after an edit, begins without them, and may begin at any step. So each step that
reads them first runs the look-ups before it in the graph, within its own task:
the ids of tasks and questions stay what they are, and a stop in front of a step
is a stop in front of it, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.config import get_config
from langgraph.pregel._read import ChannelRead
from langgraph.runtime import Runtime
from langgraph.types import Command

from core.context import RunContext
from core.errors import InvalidInput
from graph.flow.routing import Ways, is_remark, this_turn


@dataclass(frozen=True, slots=True)
class Lookup:
    """A step that runs before the model is called.

    Args:
        makes: The channel that it is there for.
    """

    node: Any
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
        self, missing: Set[str], state: Mapping[str, Any], runtime: Runtime[RunContext]
    ) -> dict[str, Any]:
        """The missing channels, made by their steps. What these write elsewhere is stored already."""
        found: dict[str, Any] = {}
        for lookup in self.steps:
            if lookup.makes in missing:
                found.setdefault(lookup.makes, self.turn[lookup.makes]())
                found |= self.of_the_turn(await lookup.node({**state, **found}, runtime))
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
            silent = runtime.override(stream_writer=lambda _: None)
            # The channels as the running step finds them; those without a value are left out.
            now: dict[str, Any] = ChannelRead.do_read(get_config(), select=self._channels)
            state = {**state, **await self._lookups.make({"config"}, now, silent)}
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
