"""The agent and its threads. `from graph import Agent`."""

from graph.agent import Agent, Options
from graph.runs import Run, TurnRequest

__all__ = ["Agent", "Options", "Run", "TurnRequest"]
