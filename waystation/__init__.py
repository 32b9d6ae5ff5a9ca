"""Turns of an agent graph on checkpointed threads: the names that programs, notebooks and modules use.

    from waystation import Agent

    async with Agent.open() as agent:
        reply = await agent.ask("What is 5 + 3?", thread="t1")

Each name is imported when it is first asked for. `waystation.testing` has the test kit.
Everything behind these two may move from one release to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from waystation import rooms
from waystation.names import homes_of, lazy

if TYPE_CHECKING:
    from core.access import Principal, RunContext, context_of, may_use, owns
    from core.cache import Cache
    from core.choices import Choices
    from core.cli import JsonFlag, command, make_app, print_json, print_table, show
    from core.container import open_module
    from core.errors import (
        ConfigInvalid,
        Conflict,
        InvalidInput,
        NotAllowed,
        NotFound,
        StorageUnavailable,
        TimedOut,
        TooLarge,
        Unavailable,
        WaystationError,
    )
    from core.events import Event, EventBus
    from core.health import Health, HealthState, degraded, failed, healthy
    from core.installed import shipped
    from core.lifecycle import StartFailed
    from core.registry import Module
    from core.resilience import Policies
    from core.settings import Book, ConfigErrors, ConfigFile, Context, Places, Section, Strict
    from core.steps import Step
    from core.task_queue import Task, TaskContext, TaskQueue
    from graph.agent import Agent, Options
    from graph.errors import LeaseLost, RunNotFound, ThreadBusy, ThreadNotFound
    from graph.flow.state import State
    from graph.flow.steps import Steps
    from graph.replay.alone import run_node
    from graph.replay.as_pytest import as_pytest
    from graph.replay.recorder import record
    from graph.replay.recording import Recording
    from graph.replay.replay import replay
    from graph.runs.record import RunRecord, TurnRequest
    from graph.runs.streams import Handle
    from nodes.config import ConfigManager
    from nodes.file_storage import FileManager, FileStore
    from nodes.llm import ChatModel, LLMCaller
    from nodes.mcp_tools import MCPToolManager, ToolExecutor
    from nodes.rag import RAGClient, Retriever

__all__ = [
    "Agent",
    "Book",
    "Cache",
    "ChatModel",
    "Choices",
    "ConfigErrors",
    "ConfigFile",
    "ConfigInvalid",
    "ConfigManager",
    "Conflict",
    "Context",
    "Event",
    "EventBus",
    "FileManager",
    "FileStore",
    "Handle",
    "Health",
    "HealthState",
    "InvalidInput",
    "JsonFlag",
    "LLMCaller",
    "LeaseLost",
    "MCPToolManager",
    "Module",
    "NotAllowed",
    "NotFound",
    "Options",
    "Places",
    "Policies",
    "Principal",
    "RAGClient",
    "Recording",
    "Retriever",
    "RunContext",
    "RunNotFound",
    "RunRecord",
    "Section",
    "StartFailed",
    "State",
    "Step",
    "Steps",
    "StorageUnavailable",
    "Strict",
    "Task",
    "TaskContext",
    "TaskQueue",
    "ThreadBusy",
    "ThreadNotFound",
    "TimedOut",
    "TooLarge",
    "ToolExecutor",
    "TurnRequest",
    "Unavailable",
    "WaystationError",
    "as_pytest",
    "command",
    "context_of",
    "degraded",
    "failed",
    "healthy",
    "make_app",
    "may_use",
    "open_module",
    "owns",
    "print_json",
    "print_table",
    "record",
    "replay",
    "run_node",
    "shipped",
    "show",
]

# Where each name stands. A test holds it together with the imports above, which are for type checkers.
_HOMES = {
    "core.access": "Principal RunContext context_of may_use owns",
    "core.cache": "Cache",
    "core.choices": "Choices",
    "core.cli": "JsonFlag command make_app print_json print_table show",
    "core.container": "open_module",
    "core.errors": "ConfigInvalid Conflict InvalidInput NotAllowed NotFound StorageUnavailable TimedOut "
    "TooLarge Unavailable WaystationError",
    "core.events": "Event EventBus",
    "core.health": "Health HealthState degraded failed healthy",
    "core.installed": "shipped",
    "core.lifecycle": "StartFailed",
    "core.registry": "Module",
    "core.resilience": "Policies",
    "core.settings": "Book ConfigErrors ConfigFile Context Places Section Strict",
    "core.steps": "Step",
    "core.task_queue": "Task TaskContext TaskQueue",
    "graph.agent": "Agent Options",
    "graph.errors": "LeaseLost RunNotFound ThreadBusy ThreadNotFound",
    "graph.flow.state": "State",
    "graph.flow.steps": "Steps",
    "graph.replay.alone": "run_node",
    "graph.replay.as_pytest": "as_pytest",
    "graph.replay.recorder": "record",
    "graph.replay.recording": "Recording",
    "graph.replay.replay": "replay",
    "graph.runs.record": "RunRecord TurnRequest",
    "graph.runs.streams": "Handle",
    "nodes.config": "ConfigManager",
    "nodes.file_storage": "FileManager FileStore",
    "nodes.llm": "ChatModel LLMCaller",
    "nodes.mcp_tools": "MCPToolManager ToolExecutor",
    "nodes.rag": "RAGClient Retriever",
}
_HOME_OF = homes_of(_HOMES)

rooms.check()
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _HOME_OF)
