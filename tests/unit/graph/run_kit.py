"""Runs as rows on a real database, and the processes that hold them, without a graph."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import RowMapping, Table, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.choices import CHOICES, Choices
from core.database.outage import DatabaseUnavailable
from core.database.writer import Entry, Group
from graph.db.database import writer_of
from graph.db.tables import runs, threads, transcript
from graph.runs.claims import Claims
from graph.runs.events import EventStore
from graph.runs.lease import Leases
from graph.runs.ledger import RunLedger
from graph.runs.lookup import RunLookup
from graph.runs.record import Policy, Run, TurnRequest
from graph.runs.rows import Claim, Ending, NewRun

ADA, BOB = Principal("ada", groups=frozenset({"staff"})), Principal("bob")
QUESTION = {"id": "i1", "kind": "approval", "call": {"server": "sums", "tool": "add"}}


def new_run(
    text: str = "hello",
    *,
    thread: str = "t",
    who: Principal = ADA,
    policy: Policy = "end",
    queue_limit: int = 20,
    **wishes: Any,
) -> NewRun:
    """A run of ada's as the agent asks the ledger for it."""
    return NewRun(
        id=f"r_{secrets.token_hex(6)}",
        thread_id=thread,
        message_id=f"m_{secrets.token_hex(6)}",
        request=TurnRequest(
            who,
            text,
            thread_id=thread,
            choices=Choices.of(wishes),
            **{name: wish for name, wish in wishes.items() if name not in CHOICES},
        ),
        policy=policy,
        queue_limit=queue_limit,
    )


def going(claim: Claim) -> Run:
    """The attempt that a claim allows."""
    assert claim.hold is not None, "the thread was not taken"
    return Run(claim.record, claim.hold, floor=claim.floor)


class FailingGroup:
    """The writer's connection on a disk that is full, so many times; then it is itself again.

    Args:
        stores: It writes each time, and the answer is lost.
    """

    def __init__(
        self, engine: AsyncEngine, times: int, monkeypatch: pytest.MonkeyPatch, *, stores: bool = False
    ) -> None:
        writer = writer_of(engine)
        self._group: Group = writer._group
        self.times = times
        self._stores = stores
        self._loop, self._failed = asyncio.get_running_loop(), asyncio.Event()
        monkeypatch.setattr(writer, "_group", self)

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        if not self.times:
            return self._group.commit(entries)
        if self._stores:
            self._group.commit(entries)
        self.times -= 1
        self._loop.call_soon_threadsafe(self._failed.set)
        raise DatabaseUnavailable("cannot be written: the disk is full")

    async def until(self, times: int) -> None:
        """Returns when it will fail no more than so often."""
        async with asyncio.timeout(10):
            while self.times > times:
                self._failed.clear()
                await self._failed.wait()

    def close(self) -> None:
        self._group.close()


@dataclass(frozen=True, slots=True)
class Desk:
    """One process at the database. Other desks see a dead one, unless it is inside of `core.holder.alive`."""

    engine: AsyncEngine
    leases: Leases
    lookup: RunLookup
    ledger: RunLedger
    claims: Claims
    events: EventStore

    @classmethod
    def at(
        cls, engine: AsyncEngine, *, supervised: bool = False, lost: Callable[[str], None] = lambda _: None
    ) -> Desk:
        leases = Leases(engine, lost=lost)
        lookup = RunLookup(engine, leases)
        ledger = RunLedger(engine, leases, lookup, supervised=supervised)
        return cls(engine, leases, lookup, ledger, Claims(engine, leases, lookup), EventStore(engine))

    async def begun(self, text: str = "hello", **wishes: Any) -> Run:
        """A run that got its thread."""
        return going(await self.ledger.open(new_run(text, **wishes)))

    async def end(self, run: Run, status: str = "done", **more: Any) -> bool:
        """End an attempt; True when another run waits for its thread."""
        shown = {"thread_status": "idle", "clean": status == "done", **more}
        return await self.ledger.close(run.hold, Ending(status, **shown))

    async def pause(self, run: Run) -> None:
        """End an attempt with a question to a person."""
        await self.end(
            run, "interrupted", thread_status="interrupted", reason="person", waiting=[dict(QUESTION)]
        )

    async def thread(self, thread_id: str = "t") -> RowMapping:
        async with self.engine.connect() as db:
            query = select(threads).where(threads.c.id == thread_id)
            return (await db.execute(query)).mappings().one()

    async def run(self, run_id: str) -> RowMapping:
        async with self.engine.connect() as db:
            return (await db.execute(select(runs).where(runs.c.id == run_id))).mappings().one()

    async def count(self, table: Table) -> int:
        async with self.engine.connect() as db:
            return len((await db.execute(select(table))).all())

    async def said(self, thread_id: str = "t") -> list[tuple[str, str]]:
        """Role and text of every message of the transcript."""
        query = select(transcript.c.role, transcript.c.text).where(transcript.c.thread_id == thread_id)
        async with self.engine.connect() as db:
            return [(row.role, row.text) for row in await db.execute(query.order_by(transcript.c.seq))]

    async def expire(self, thread_id: str = "t", *, holder: str = "elsewhere:1:x") -> None:
        """The holder of the thread has not been heard of for too long."""
        async with self.engine.begin() as db:
            gone = update(threads).where(threads.c.id == thread_id)
            await db.execute(gone.values(holder=holder, lease_until=1.0))
