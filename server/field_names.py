"""`server.event_fields: old`: events and outputs leave with the names of the release before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.runs.names import former, former_reply

Fields = dict[str, Any]


def old_names(agent: Agent) -> bool:
    """Whether callers still read the former names."""
    return agent.book[ServerSettings].event_fields == "old"


def event_namer(agent: Agent) -> Callable[[Fields], Fields] | None:
    """Renames an event; None where it goes out as it is."""
    return former if old_names(agent) else None


def named_reply(agent: Agent, output: Fields) -> Fields:
    """The output of a turn as it leaves."""
    return former_reply(output) if old_names(agent) else output


def named_run(agent: Agent, shown: Mapping[str, Any]) -> Fields:
    """A run as it leaves."""
    output = shown["output"]
    return {**shown, "output": named_reply(agent, output) if output else output}
