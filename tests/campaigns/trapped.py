"""Sets the traps of `traps` in a process that has the whole service imported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from langchain_core.messages import AIMessage

from core.database.groups import SqliteGroup
from core.database.postgres_group import PostgresGroup
from graph.checkpoints.postgres import WrittenPostgresSaver
from graph.checkpoints.written import WrittenSqliteSaver
from graph.runs.events import EventLog
from graph.runs.ledger import RunLedger
from graph.runs.receipts import StoredReceipts
from graph.runs.record import Run
from graph.turn.repair import Repair
from tests.campaigns.traps import AT_REPAIR, LATE, Trap, around

LATE_SECONDS = 0.4


def set_traps(trap: Trap) -> None:
    """Wrap the places; call it once in a process."""
    for saver in (WrittenSqliteSaver, WrittenPostgresSaver):
        _trap_checkpoints(saver, Checkpoints(trap))
    for group in (SqliteGroup, PostgresGroup):
        _trap_group(group, trap)
    _trap_receipts(trap)
    _trap_ledger(trap)
    around(Repair, "settle", after=lambda *_, **__: trap.at(AT_REPAIR))
    _trap_plain(EventLog, "publish", lambda _, entry: _on_token(trap, entry))
    _trap_plain(Run, "stop", lambda _, how, **__: trap.at("during a drain") if how == "drain" else None)


def _on_token(trap: Trap, entry: Any) -> None:
    if entry.event["type"] == "token":
        trap.at("in the model stream")


def _trap_plain(owner: type, name: str, before: Any) -> None:
    inner = getattr(owner, name)

    def outer(*args: Any, **kwargs: Any) -> Any:
        before(*args, **kwargs)
        return inner(*args, **kwargs)

    setattr(owner, name, outer)


def _trap_group(group: type, trap: Trap) -> None:
    """What a group writes is in the database whole or not at all, also where nobody has heard of it."""
    commit = group.commit  # type: ignore[attr-defined]

    def outer(*args: Any) -> Any:
        trap.at("before a group is committed")
        outcomes = commit(*args)
        trap.at("group committed, nobody told")
        return outcomes

    group.commit = outer  # type: ignore[attr-defined]
    # Before an entry: those in front of it in the group have been written.
    _trap_plain(group, "_entry", lambda *_, **__: trap.at("within a group"))


def _trap_receipts(trap: Trap) -> None:
    around(StoredReceipts, "begin", after=lambda *_: trap.at("call noted, not made"))
    around(
        StoredReceipts,
        "end",
        before=lambda *_: trap.at("tool done, not stored"),
        after=lambda *_: trap.at("receipt handed over, answer not"),
    )


def _trap_ledger(trap: Trap) -> None:
    around(
        RunLedger,
        "open",
        before=lambda *_: trap.at("before the message is stored"),
        after=lambda *_: trap.at("message stored, not acknowledged"),
    )
    around(
        RunLedger,
        "close",
        before=lambda *_: trap.at("after the last checkpoint, before the reply"),
        after=lambda *_: trap.at("ending stored, before the reply"),
    )


class Checkpoints:
    """Tells the checkpoints of a turn apart, by thread."""

    def __init__(self, trap: Trap) -> None:
        self.trap = trap
        # Threads whose next checkpoint holds a tool call, and those whose next one is the turn's last.
        self.calling: set[str] = set()
        self.last: set[str] = set()

    def before(self, _: Any, config: Any, __: Any, metadata: Any, ___: Any) -> Awaitable[None] | None:
        thread = config["configurable"]["thread_id"]
        if metadata.get("source") == "input":
            self.trap.at("before the input checkpoint")
        if thread in self.calling:
            self.trap.at("before the tool-call checkpoint")
        if thread in self.last:
            self.trap.at("before the last checkpoint")
        return asyncio.sleep(LATE_SECONDS) if self.trap.is_armed(LATE) else None

    def after(self, _: Any, config: Any, __: Any, metadata: Any, ___: Any) -> None:
        thread = config["configurable"]["thread_id"]
        if metadata.get("source") == "input":
            self.trap.at("after the input checkpoint")
        if thread in self.calling:
            self.calling.discard(thread)
            self.trap.at("after the tool-call checkpoint")
        self.last.discard(thread)

    def writes(self, _: Any, config: Any, writes: Any, *__: Any, **___: Any) -> Awaitable[None] | None:
        said = [m for name, value in writes if name == "messages" for m in value if isinstance(m, AIMessage)]
        if said:
            # Turns of campaigns have no files, and end with their answer.
            ahead = self.calling if any(message.tool_calls for message in said) else self.last
            ahead.add(config["configurable"]["thread_id"])
        return asyncio.sleep(LATE_SECONDS) if self.trap.is_armed(LATE) else None


def _trap_checkpoints(saver: type, seen: Checkpoints) -> None:
    around(saver, "aput", before=seen.before, after=seen.after)
    around(saver, "aput_writes", before=seen.writes)
