"""The table of steps: who declares one, where it stands, and what runs there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_type_hints

from langchain_core.messages import ToolMessage
from langgraph.channels import UntrackedValue
from langgraph.graph import StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext
from core.errors import ConfigInvalid
from core.registry import Module
from core.steps import PARTS, Part, Step
from graph.flow.routing import Ways
from graph.flow.state import State

MAKES: Mapping[Part, str] = {"config": "config", "passages": "documents"}
"""The channels that live within a turn, and the part of every turn that is there for each."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A step in its place.

    Args:
        part: The part of a turn that it is, or stands with.
        main: It is that part itself, and no further step.
    """

    step: Step
    part: Part
    main: bool
    node: Any

    @property
    def name(self) -> str:
        return self.step.name

    @property
    def foreign(self) -> bool:
        """Somebody else's: what it writes may have any form that LangGraph takes."""
        return self.step.part is None


@dataclass(frozen=True)
class Steps:
    """Every step of the graph, in its place and order."""

    placed: tuple[Placed, ...]

    def of(self, part: Part) -> list[Placed]:
        """The steps of one part, in their order."""
        return [found for found in self.placed if found.part == part]

    def main(self, part: Part) -> Placed:
        return next(found for found in self.of(part) if found.main)

    @cached_property
    def by_name(self) -> Mapping[str, Placed]:
        return {found.name: found for found in self.placed}

    def running(self, nodes: Mapping[str, Any]) -> Steps:
        """The same table with other nodes in the places of the steps of these names."""
        return replace(self, placed=tuple(replace(p, node=nodes.get(p.name, p.node)) for p in self.placed))

    @property
    def nodes(self) -> dict[str, Any]:
        return {found.name: found.node for found in self.placed}

    @property
    def further(self) -> list[Placed]:
        """The steps that are not a part of every turn."""
        return [found for found in self.placed if not found.main]

    @property
    def ways(self) -> Ways:
        """Where a turn may go behind the model's answer."""
        begin, files = self.of("config")[0], self.of("files")[0]
        return Ways(begin=begin.name, tools=self.main("tools").name, files=files.name)

    @cached_property
    def state(self) -> Any:
        """The state of this graph: `State`, with the channels that further steps bring."""
        return state_of([found.step for found in self.placed])

    @cached_property
    def turn_only(self) -> dict[str, type]:
        """The channels that live within a turn, and the type of each."""
        return turn_only(self.state)


def state_of(steps: Iterable[Step]) -> Any:
    brought = {name: kind for step in steps for name, kind in step.channels.items()}
    if not brought:
        return State
    known = get_type_hints(State, include_extras=True)
    return TypedDict("State", {**known, **brought}, total=False)  # type: ignore[operator]


def turn_only(state: Any) -> dict[str, type]:
    hints = get_type_hints(state, include_extras=True)
    found = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {n: m.typ for n, marks in found.items() for m in marks if isinstance(m, UntrackedValue)}


def declared_by(modules: Iterable[Module]) -> list[Step]:
    return [step for module in modules for step in module.all_steps]


def placed(
    running: Sequence[Step],
    declared: Sequence[Step],
    node_of: Callable[[Step], Any],
) -> Steps:
    """Each step that runs in its place, and a stand-in for retrieval or tools where nothing brings them.

    Args:
        declared: Every step, running or not: one whose neighbour does not run stands where that one would.
        node_of: Gives the node of a step that runs.
    """
    names = {step.name for step in running}
    table = _Table([step for step in declared if step.name in names or not step.instead_of])
    found = [
        Placed(step, part, main, node_of(step)) for step, part, main in table.ordered() if step.name in names
    ]
    for part in PARTS:
        if not any(place.part == part and place.main for place in found):
            found.append(_absent(part, table))
    order = sorted(found, key=lambda place: PARTS.index(place.part))
    return Steps(tuple(order))


class _Table:
    """Declared steps, asked for their order. One that takes another's place stands in its name."""

    def __init__(self, declared: Sequence[Step]) -> None:
        self._by_name = {step.name: step for step in declared}
        self._taken = {step.instead_of: step.name for step in declared if step.instead_of}
        self._steps = [self._settled(step) for step in declared if step.name not in self._taken]

    def main_of(self, part: Part) -> Step | None:
        return next((step for step in self._steps if self._part(step) == part), None)

    def ordered(self) -> list[tuple[Step, Part, bool]]:
        """(step, its part, whether it is that part itself), in the order of the graph."""
        found: list[tuple[Step, Part, bool]] = []
        for part in PARTS:
            if main := self.main_of(part):
                found += [(step, part, step is main) for step in self._around(main)]
        return found

    def has(self, name: str) -> bool:
        """Whether the step, or whichever took its place, is reached from one of the parts of a turn."""
        return self._now(name) in {step.name for step, _, _ in self.ordered()}

    def _settled(self, step: Step) -> Step:
        """With the neighbour that really stands there."""
        if step.instead_of:
            place = self._origin(step)
            step = replace(step, after=place.after, before=place.before)
        return replace(step, after=self._now(step.after), before=self._now(step.before))

    def _origin(self, step: Step) -> Step:
        seen: set[str] = set()
        while step.instead_of in self._by_name and step.name not in seen:
            seen.add(step.name)
            step = self._by_name[step.instead_of]
        return step

    def _part(self, step: Step) -> Part | None:
        return self._origin(step).part

    def _now(self, name: str) -> str:
        seen: set[str] = set()
        while name in self._taken and name not in seen:
            seen.add(name)
            name = self._taken[name]
        return name

    def _around(self, step: Step) -> list[Step]:
        ahead = [one for other in self._steps if other.before == step.name for one in self._around(other)]
        behind = [one for other in self._steps if other.after == step.name for one in self._around(other)]
        return [*ahead, step, *behind]


def check_places(modules: Sequence[Module], own: Sequence[Step] = ()) -> None:
    """Make sure that every step can stand where it says.

    Args:
        own: Steps that no module brings.

    Raises:
        ConfigInvalid: One cannot; the sentence names module, step, what is wrong and what is possible.
    """
    owned = [(f"module '{module.name}', ", step) for module in modules for step in module.all_steps]
    if not isinstance(own, Sequence):
        raise ConfigInvalid("steps= is a list of steps: [Step(...)]")
    owned += [("", step) for step in own]
    steps = [step for _, step in owned]
    for owner, step in owned:
        if problem := _form_problem(step):
            raise ConfigInvalid(f"{owner}step '{getattr(step, 'name', step)}': {problem}")
    table = _Table(steps)
    for place, (owner, step) in enumerate(owned):
        problem = _name_problem(step, steps[:place]) or _place_problem(step, steps, table)
        if problem := problem or _channel_problem(step, steps):
            raise ConfigInvalid(f"{owner}step '{step.name}': {problem}")


def _form_problem(step: Any) -> str:
    """What no type checker has said to whoever writes without one."""
    if not isinstance(step, Step):
        return "this is no step; write Step(name, what_runs, after=...)"
    words: tuple[Any, ...] = (step.name, step.after, step.before, step.instead_of)
    if not all(isinstance(word, str) for word in words):
        return "its name and the step that it stands by are texts: Step('guard', guard, after='call_model')"
    channels: Any = step.channels
    if not isinstance(channels, Mapping) or not all(isinstance(name, str) for name in channels):
        return "channels= is a mapping of names to types: {'seen': list[int]}"
    return ""


def _name_problem(step: Step, earlier: Sequence[Step]) -> str:
    if not step.name.isidentifier() or step.name in State.__annotations__ or step.name.startswith("__"):
        taken = ", ".join(State.__annotations__)
        return f"a step's name is one word of letters, digits and _, and none of the state's: {taken}"
    if any(other.name == step.name for other in earlier):
        return "another step has this name"
    return ""


def _place_problem(step: Step, steps: Sequence[Step], table: _Table) -> str:
    possible = ", ".join(other.name for other in steps if other.name != step.name)
    said = [bool(way) for way in (step.after, step.before, step.instead_of, step.part)]
    if sum(said) != 1:
        return f"say where it stands by one of after=, before= and instead_of=; possible: {possible}"
    if step.part:
        return _part_problem(step, steps[: steps.index(step)])
    if step.neighbour not in {other.name for other in steps}:
        return f"there is no step '{step.neighbour}' to stand by; possible: {possible}"
    if step.instead_of and sum(other.instead_of == step.instead_of for other in steps) > 1:
        return f"another step takes the place of '{step.instead_of}' too"
    if not table.has(step.name):
        return f"steps name each other in a circle; possible: {possible}"
    return ""


def _part_problem(step: Step, earlier: Sequence[Step]) -> str:
    if step.part not in PARTS:
        return f"no turn has a part '{step.part}'; possible: {', '.join(PARTS)}"
    other = next((other.name for other in earlier if other.part == step.part), "")
    return f"'{other}' is this part of every turn; say instead_of='{other}'" if other else ""


def _channel_problem(step: Step, steps: Sequence[Step]) -> str:
    for name in step.channels:
        if not name.isidentifier() or name in State.__annotations__ or name.startswith("__"):
            return (
                f"a channel's name is one word, and none of the state's: {', '.join(State.__annotations__)}"
            )
        if name in {other.name for other in steps}:
            return f"the channel '{name}' has the name of a step"
        if any(other.channels.get(name, step.channels[name]) != step.channels[name] for other in steps):
            return f"the channel '{name}' has another type in another step"
    try:
        StateGraph(state_of([step]))
    except (NameError, SyntaxError, TypeError, ValueError) as error:
        return f"its channels cannot be read: {error}"
    if step.makes and step.makes not in turn_only(state_of([step])):
        return f"makes='{step.makes}' has to be one of its channels, annotated with an UntrackedValue"
    return ""


class _Search(TypedDict):
    config: dict[str, Any]


class _Call(TypedDict):
    call: dict[str, Any]


class NoPassages:
    """Retrieval that finds nothing."""

    only_looks = True

    async def __call__(self, state: _Search, runtime: Runtime[RunContext]) -> dict[str, Any]:
        return {"documents": []}


class NoTools:
    """Answers a call that an earlier turn left behind: the model itself is offered no tools."""

    async def __call__(self, state: _Call, runtime: Runtime[RunContext]) -> dict[str, Any]:
        call = state["call"]
        text = "tools are switched off in this service"
        return {"messages": [ToolMessage(text, tool_call_id=call["id"], name=call["name"], status="error")]}


def is_own(node: Any) -> bool:
    """Whether the node is one of the five modules', or what stands in for one that is switched off."""
    return type(node).__module__.partition(".")[0] == "nodes" or isinstance(node, NoPassages | NoTools)


_ABSENT: Mapping[Part, type] = {"passages": NoPassages, "tools": NoTools}


def _absent(part: Part, table: _Table) -> Placed:
    if part not in _ABSENT:
        raise ConfigInvalid(f"no step is the part '{part}' of a turn, and no turn goes without it")
    declared = table.main_of(part)
    name = declared.name if declared else part
    return Placed(Step(name, _ABSENT[part], part=part), part, main=True, node=_ABSENT[part]())
