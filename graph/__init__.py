"""The agent and its threads. `from graph import Agent`."""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from graph.agent import Agent, Options
    from graph.runs.record import TurnRequest
    from graph.runs.streams import Handle

__all__ = ["Agent", "Handle", "Options", "TurnRequest"]

# Imported when they are asked for: who reads rows of threads needs no graph.
__getattr__ = names_from(__name__, "runs.record", "runs.streams", "agent")
