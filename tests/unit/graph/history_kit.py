"""Threads with a history, made without a model: a graph of the same state, its steps scripted."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from graph.database import opened_database
from graph.history.checkpoints import tables_of
from graph.history.erase import BELONGING
from graph.lease import Leases, new_thread
from graph.saver import opened_saver
from graph.state import Input, State
from graph.tables import threads, transcript
from graph.threads import Threads
from graph.transcript import Transcript
from nodes.file_storage import FileManager
from nodes.file_storage.adapters.link_server import FixedHost
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import LinkSigner
from nodes.file_storage.settings import FileStorageSettings

ADA, BOB = Principal("ada"), Principal("bob")
