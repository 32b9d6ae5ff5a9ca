"""The agent and its threads. `from graph import Agent`."""

from graph.agent import Agent, Options
from graph.handle import Handle
from graph.runs import TurnRequest

__all__ = ["Agent", "Handle", "Options", "TurnRequest"]
