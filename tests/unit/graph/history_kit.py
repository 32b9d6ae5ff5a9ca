"""Threads with a history on a real database, without a model: the same state, its steps scripted.

A message "calc" makes the model call a tool; "ask" makes it call one that asks a
person first; "both" does both, "asks" asks twice; everything else is answered at once.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from sqlalchemy import select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from graph.checkpoints.saver import opened_saver
from graph.db.database import opened_database
from graph.db.tables import receipts, run_events, runs, threads
from graph.flow.state import Input, State
from graph.runs.lease import Leases
from graph.threads.history.checkpoints import tables_of
from graph.threads.history.erase import BELONGING
from graph.threads.threads import Threads
from graph.threads.transcript import Transcript
from nodes.file_storage import FileManager
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.settings import FileStorageSettings

ADA, BOB = Principal("ada"), Principal("bob")
SECRET = "a secret of more than thirty-two characters"


def call_model(state: State) -> Command[Any]:
    last = state["messages"][-1]
    calls = {"calc": ["calc"], "ask": ["ask"], "both": ["calc", "ask"], "asks": ["ask", "ask"]}.get(
        str(last.content), []
    )
    if isinstance(last, HumanMessage) and calls:
        made = [
            {"id": f"c_{secrets.token_hex(4)}", "name": name, "args": {"a": 1}, "type": "tool_call"}
            for name in calls
        ]
        message = AIMessage("", id=f"m_{secrets.token_hex(16)}", tool_calls=made)
        return Command(
            update={"messages": [message]}, goto=[Send("execute_tools", {"call": call}) for call in made]
        )
    answer = AIMessage(f"re: {last.content}", id=f"m_{secrets.token_hex(16)}")
    return Command(update={"messages": [answer]}, goto="store_files")


@dataclass
class World:
    """Everything that threads need; `calls` are the tools that ran."""

    engine: AsyncEngine
    graph: Any
    leases: Leases
    files: FileManager
    transcript: Transcript
    threads: Threads
    calls: list[str] = field(default_factory=list)

    async def say(self, thread: str, said: Any, *, who: Principal = ADA) -> str:
        """One turn; a Command answers a question. Returns the id of the message."""
        await self.threads.create(who, thread_id=thread, title=str(said)[:20])
        before = set(await self.ids(thread))
        message = HumanMessage(str(said), id=f"m_{secrets.token_hex(16)}")
        start = said if isinstance(said, Command) else {"messages": [message]}
        config = {"configurable": {"thread_id": thread}}
        async with self.leases.borrow(thread):
            result = await self.graph.ainvoke(start, config, durability="sync")
            snapshot = await self.graph.aget_state(config)
        new = [m for m in snapshot.values["messages"] if m.id not in before]
        await self.transcript.append(thread, "r_1", new)
        waiting = [{"id": i.id, **i.value} for i in snapshot.interrupts]
        status = "interrupted" if waiting else "idle"
        values = {"status": status, "waiting": waiting or None, "dirty": bool(waiting)}
        turns = threads.c.turns + (0 if isinstance(said, Command) else 1)
        async with self.engine.begin() as db:
            await db.execute(update(threads).where(threads.c.id == thread).values(turns=turns, **values))
        del result
        return str(message.id)

    async def ids(self, thread: str) -> list[str]:
        """Message ids of the transcript."""
        return [row["message_id"] for row in await self.transcript.onward(thread)]

    async def texts(self, thread: str, *, who: Principal = ADA) -> list[str]:
        """What the state has."""
        return [m["text"] for m in (await self.threads.state(who, thread))["messages"]]

    async def row(self, thread: str) -> Mapping[str, Any]:
        async with self.engine.connect() as db:
            return dict((await db.execute(select(threads).where(threads.c.id == thread))).mappings().one())

    async def checkpoints(self, thread: str) -> list[dict[str, Any]]:
        """All of them, newest first."""
        found: list[dict[str, Any]] = (await self.threads.history(ADA, thread, limit=200))["checkpoints"]
        return found

    async def run_of(self, thread: str, run: str, *, status: str = "done", **more: Any) -> None:
        """A row of the ledger with an event and a receipt."""
        base = {
            "id": run, "thread_id": thread, "owner": "ada", "groups": [], "levels": [], "scopes": [],
            "status": status, "request": {}, "input_hash": "", "policy": "end", "place": 0.0, "seq_limit": 0,
            "created_at": 1.0, "ended_at": 2.0,
        }  # fmt: skip
        event = {"run_id": run, "seq": 1, "first": 1, "thread_id": thread, "type": "done", "data": "{}"}
        receipt = {"run_id": run, "call_id": "c1", "thread_id": thread, "started_at": 1.0}
        async with self.engine.begin() as db:
            await db.execute(runs.insert().values({**base, **more}))
            await db.execute(run_events.insert().values({**event, "created_at": 1.0}))
            await db.execute(receipts.insert().values(receipt))

    async def rows_of(self, thread: str) -> dict[str, int]:
        """How many rows there are in every table that has a `thread_id`, by raw SQL; only what is not 0."""
        found = {}
        async with self.engine.connect() as db:
            for name in (*tables_of(db), *(table.name for table in BELONGING)):
                query = text(f"SELECT count(*) FROM {name} WHERE thread_id = :id")  # noqa: S608
                found[name] = (await db.execute(query, {"id": thread})).scalar() or 0
            query = text("SELECT count(*) FROM threads WHERE id = :id")
            found["threads"] = (await db.execute(query, {"id": thread})).scalar() or 0
        return {name: count for name, count in found.items() if count}


def build(calls: list[str]) -> StateGraph[Any, Any, Any, Any]:
    def execute_tools(state: dict[str, Any]) -> dict[str, Any]:
        call = state["call"]
        if call["name"] == "ask":
            interrupt({"kind": "approval", "call": call["name"]})
        calls.append(call["name"])
        result = ToolMessage(f"{call['name']} ok", tool_call_id=call["id"], name=call["name"])
        return {"messages": [result.model_copy(update={"id": f"m_{secrets.token_hex(16)}"})]}

    def store_files(state: State) -> dict[str, Any]:
        return {}

    graph: Any = StateGraph(State, input_schema=Input)
    graph.add_node("call_model", call_model, destinations=("execute_tools", "store_files"))
    graph.add_node("execute_tools", execute_tools)
    graph.add_node("store_files", store_files)
    graph.add_edge(START, "call_model")
    graph.add_edge("execute_tools", "call_model")
    graph.add_edge("store_files", END)
    built: StateGraph[Any, Any, Any, Any] = graph
    return built


@asynccontextmanager
async def opened_world(url: URL, files: FileManager | None = None) -> AsyncIterator[World]:
    """A world on the database."""
    calls: list[str] = []
    async with opened_database(url) as engine, opened_saver(url) as saver:
        leases = Leases(engine)
        async with leases.beating():
            graph = build(calls).compile(checkpointer=saver)
            saver.serve(graph)
            files = files or FileManager(
                MemoryStore(),
                signer=LinkSigner(SECRET),
                host=FixedHost("http://127.0.0.1:9"),
                settings=FileStorageSettings(),
            )
            transcript = Transcript(engine)
            made = Threads(engine, graph, transcript, files, leases)
            yield World(engine, graph, leases, files, transcript, made, calls)
