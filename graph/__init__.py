"""The agent and its threads. `from graph import Agent`."""

from graph.agent import Agent, Options
from graph.runs.record import TurnRequest
from graph.runs.streams import Handle

__all__ = ["Agent", "Handle", "Options", "TurnRequest"]
