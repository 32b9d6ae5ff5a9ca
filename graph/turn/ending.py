"""How an attempt of a run ends: answer, events, thread and run are written in one transaction."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import structlog
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from core.database.outage import DatabaseUnavailable, log_failure, storage_outage
from core.database.waiting import FIRST_PAUSE_S, LONGEST_PAUSE_S
from core.errors import Internal
from core.observability import TURNS
from graph.errors import LeaseLost, problem_of
from graph.flow.state import answer_in, call_record
from graph.runs.events import LoggedEvent
from graph.runs.ledger import RunLedger
from graph.runs.record import Outcome, Run, message_of
from graph.runs.rows import Ending, delivery_of
from graph.runs.rows import reply as reply_with
from graph.runs.streams import EventWriter
from graph.threads.transcript import partial_row, rows_of
from nodes.rag import cite

log = structlog.get_logger()

_THREAD = {"done": "idle", "cancelled": "idle", "failed": "failed"}
_REASONS = {"cancel": "asked", "supersede": "superseded", "drain": "drained", "outage": "outage"}


class Endings:
    """Writes endings. One per process."""

    def __init__(self, ledger: RunLedger, writer: EventWriter) -> None:
        self._ledger = ledger
        self._writer = writer
        # Set when the service stops: what is not stored then, another process settles.
        self.closing = asyncio.Event()

    async def end(self, run: Run, outcome: Outcome) -> None:
        """Write the ending and close the log; a run that somebody else has taken over is left alone.

        The run says then whether another waits for its thread, and what its webhook is to be sent.
        """
        run.ending = True
        try:
            run.more_wait = await self._stored(run, outcome)
        except LeaseLost:
            run.stopped, run.delivery = "lost", None
            run.log.abandon()
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader must get a last event
            log_failure(log, "turn_not_stored", error)
            # Held on, the thread would be busy for as long as this process lives.
            self._ledger.leave(run.id)
            run.error = run.error or storage_outage(error) or _not_stored(error)
            run.log.extend(run.log.last + 1)
            run.log.add({"type": "error", **problem_of(run.error)})
        status = "lost" if run.stopped == "lost" else outcome.status
        TURNS.labels("failed" if run.error else status).inc()

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
        reply = reply_of(run, outcome)
        event = {"type": "error", **problem_of(run.error)} if run.error else {"type": "done", **reply}
        last = run.log.numbered(event)
        ending = _ending(run, outcome, reply, [*rest, last])
        if run.request.webhook and not ending.again:
            run.delivery = delivery_of(run.id, run.attempt, ending.status)
        more = await self._ledger.close(run.hold, ending)
        run.log.extend(last.seq)
        run.log.publish(last)
        return more


def reply_of(run: Run, outcome: Outcome) -> dict[str, Any]:
    """The run's output, as callers and events have it."""
    status = outcome.status
    answer = _answer(outcome, status)
    usage = {name: getattr(outcome, name) for name in ("input_tokens", "output_tokens", "model")}
    return reply_with(
        run.thread_id,
        run.id,
        status=status,
        answer=answer,
        citations=cite(answer, outcome.documents),
        files=outcome.files,
        tool_calls=_calls(outcome),
        interrupts=outcome.interrupts,
        usage=usage,
    )


def _calls(outcome: Outcome) -> list[dict[str, Any]]:
    """Every call of the run once, also those of its attempts before a pause, in the model's order."""
    made = [call_record(m) for m in outcome.messages if isinstance(m, ToolMessage)]
    found = {call["id"]: call for call in [*outcome.earlier_calls, *made]}
    places = {call_id: place for place, call_id in enumerate(outcome.asked)}
    return sorted(found.values(), key=lambda call: places.get(call["id"], -1))


def _answer(outcome: Outcome, status: str) -> str:
    if outcome.streamed and status != "done":
        return "".join(outcome.streamed)
    said = any(isinstance(message, AIMessage) for message in outcome.messages)
    return answer_in(outcome.messages) if said else outcome.earlier_answer


def _not_stored(error: Exception) -> Internal:
    fault = Internal("the answer could not be stored; the log has the details")
    fault.__cause__ = error
    return fault


def _ending(run: Run, outcome: Outcome, reply: dict[str, Any], events: list[LoggedEvent]) -> Ending:
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
    messages: list[BaseMessage] = [] if run.message_stored or not run.record.message_id else [message_of(run)]
    messages += outcome.messages
    partial = "".join(outcome.streamed)
    if status != "done" and partial:
        rows = rows_of(run.thread_id, run.id, messages)
        return [*rows, partial_row(run.thread_id, run.id, run.attempt, partial)]
    extras: dict[str, dict[str, Any]] = {}
    if messages and (reply["citations"] or reply["files"]):
        extras[str(messages[-1].id)] = {"citations": reply["citations"], "files": reply["files"]}
    return rows_of(run.thread_id, run.id, messages, extras)
