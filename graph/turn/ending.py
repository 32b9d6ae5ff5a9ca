"""How an attempt of a run ends: answer, events, thread and run are written in one transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from langchain_core.messages import BaseMessage

from core.database.outage import DatabaseUnavailable, storage_outage, tell_failure
from core.database.waiting import FIRST_PAUSE_S, LONGEST_PAUSE_S
from core.errors import Internal
from core.observability import TURNS
from graph.errors import LeaseLost, problem_of
from graph.runs.events.log import Entry
from graph.runs.events.writer import EventWriter
from graph.runs.ledger import RunLedger
from graph.runs.ledger_rows import Ending
from graph.runs.record import Outcome, Run, message_of
from graph.runs.reply import reply_of
from graph.threads.transcript import partial_row, rows_of

log = structlog.get_logger()

_THREAD = {"done": "idle", "cancelled": "idle", "failed": "failed"}
_REASONS = {"cancel": "asked", "supersede": "superseded", "drain": "drained", "outage": "outage"}


class Endings:
    """Writes endings. One per process.

    `ended` is called after each, with whether another run waits for the thread.
    """

    def __init__(self, ledger: RunLedger, writer: EventWriter) -> None:
        self._ledger = ledger
        self._writer = writer
        # Set when the service stops: what is not stored then, another process settles.
        self.closing = asyncio.Event()
        self.ended: Callable[[Run, bool], None] = lambda run, more: None

    async def end(self, run: Run, outcome: Outcome) -> None:
        """Write the ending and close the log; a run that somebody else has taken over is left alone."""
        run.ending = True
        more = False
        try:
            more = await self._stored(run, outcome)
        except LeaseLost:
            run.stopped = "lost"
            run.log.abandon()
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader must get a last event
            tell_failure(log, "turn_not_stored", error)
            # Held on, the thread would be busy for as long as this process lives.
            self._ledger.leave(run.id)
            run.error = run.error or storage_outage(error) or _not_stored(error)
            run.log.extend(run.log.last + 1)
            run.log.add({"type": "error", **problem_of(run.error)})
        status = "lost" if run.stopped == "lost" else outcome.status
        TURNS.labels("failed" if run.error else status).inc()
        self.ended(run, more)

    async def _stored(self, run: Run, outcome: Outcome) -> bool:
        """Write the ending, however long the database is away: the thread is free when it is back."""
        pause, tried = FIRST_PAUSE_S, False
        while True:
            began = time.monotonic()
            try:
                more = await self._end(run, outcome)
            except DatabaseUnavailable as error:
                if self.closing.is_set():
                    raise
                if not tried:
                    self._tell_delay(run, error, time.monotonic() - began)
            except LeaseLost:
                if not tried:
                    raise
                # Perhaps it was written before, and only the answer lost: then another run may wait.
                run.over_it()
                run.stopped = "lost"
                run.log.abandon()
                return True
            else:
                run.over_it()
                return more
            tried = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _tell_delay(self, run: Run, error: DatabaseUnavailable, took: float) -> None:
        log.warning("ending_waits_for_database", reason=error.reason)
        if run.waits:
            return  # its readers know, and its caller is about to
        run.meets(error, took)
        text = f"the database {error.reason}; the end of the turn is stored when it is back"
        run.log.add({"type": "notice", "code": error.code, "text": text})

    async def _end(self, run: Run, outcome: Outcome) -> bool:
        rest = await self._writer.rest(run)
        if run.stopped == "lost":
            raise LeaseLost
        outcome.put_in_order()
        status = outcome.status
        reply = reply_of(run, outcome, status=status)
        told = {"type": "error", **problem_of(run.error)} if run.error else {"type": "done", **reply}
        last = run.log.numbered(told)
        more = await self._ledger.close(run.turn, _ending(run, outcome, reply, [*rest, last]))
        if run.error is None:
            run.reply = reply
        run.log.extend(last.seq)
        run.log.publish(last)
        return more


def _not_stored(error: Exception) -> Internal:
    fault = Internal("the answer could not be stored; the log has the details")
    fault.__cause__ = error
    return fault


def _ending(run: Run, outcome: Outcome, reply: dict[str, Any], events: list[Entry]) -> Ending:
    status = outcome.status
    stopped = run.stopped in ("drain", "outage")
    again = status == "interrupted" and stopped and run.record.policy == "resume"
    return Ending(
        status="queued" if again else status,
        thread_status=_thread_status(status, outcome),
        reason=_reason(run, outcome),
        clean=status == "done",
        has_calls=bool(reply["tool_calls"]),
        again=again,
        waiting=outcome.interrupts or None,
        output=None if run.error else reply,
        error=problem_of(run.error) if run.error else None,
        model=outcome.model,
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
        events=events,
        messages=[] if again else _messages(run, outcome, reply, status),
    )


def _thread_status(status: str, outcome: Outcome) -> str:
    if status == "interrupted":
        return "interrupted" if outcome.interrupts else "idle"
    return _THREAD[status]


def _reason(run: Run, outcome: Outcome) -> str:
    if run.error:
        return run.error.code[:32]
    if outcome.interrupts:
        return "person"
    if run.only_end and outcome.status == "interrupted":
        return "orphaned"
    return "" if outcome.status == "done" else _REASONS.get(run.stopped or "", "asked")


def _messages(run: Run, outcome: Outcome, reply: dict[str, Any], status: str) -> list[dict[str, Any]]:
    messages: list[BaseMessage] = [] if run.told or not run.record.message_id else [message_of(run)]
    messages += outcome.messages
    partial = "".join(outcome.streamed)
    if status != "done" and partial:
        rows = rows_of(run.thread_id, run.id, messages)
        return [*rows, partial_row(run.thread_id, run.id, run.attempt, partial)]
    extras: dict[str, dict[str, Any]] = {}
    if messages and (reply["citations"] or reply["files"]):
        extras[str(messages[-1].id)] = {"citations": reply["citations"], "files": reply["files"]}
    return rows_of(run.thread_id, run.id, messages, extras)
