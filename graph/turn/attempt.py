"""Where an attempt of a run begins (its message, answers, or where it was cut), and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.serde.types import INTERRUPT, RESUME
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot
from sqlalchemy import select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import insert_new
from core.database.outage import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    DatabaseUnavailable,
    log_failure,
    storage_outage,
    uninterrupted,
)
from core.errors import Internal
from core.observability import TURNS
from core.settings.roles import Duty
from graph.db.tables import runs, transcript
from graph.errors import LeaseLost, RunAbandoned, problem_of
from graph.flow.builder import model_step
from graph.flow.routing import this_turn
from graph.flow.state import answer_in, call_record, calls_of, partial_row, rows_of
from graph.runs.events import EventStore, LoggedEvent
from graph.runs.ledger import AT_MOST_ATTEMPTS, RunLedger
from graph.runs.record import Outcome, Run, message_of
from graph.runs.rows import Ending, delivery_of, store_message
from graph.runs.rows import reply as reply_with
from graph.runs.streams import EventWriter
from graph.threads.history.look import state_of
from graph.turn.previous import lost_text, messages_after, recall, unsent
from graph.turn.repair import Repair, Settled, is_answered, removals
from nodes.file_storage import FileManager
from nodes.llm.errors import ModelContextFull
from nodes.llm.prompt import answered
from nodes.rag import cite

log = structlog.get_logger()
_THREAD = {"done": "idle", "cancelled": "idle", "failed": "failed"}
_REASONS = {"cancel": "asked", "supersede": "superseded", "drain": "drained", "outage": "outage"}


@dataclass(frozen=True, slots=True)
class Start:
    """What the graph is given; None goes on from the checkpoint, the newest where none is named.

    `untold` are answers that stand there already and that no reader has heard of, at least not whole.
    """

    given: Any
    checkpoint: str | None = None
    untold: Sequence[BaseMessage] = ()


class Opening:
    """Brings the thread of a run into the state from which the attempt can begin."""

    def __init__(
        self,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        repair: Repair,
        engine: AsyncEngine,
        files: FileManager,
    ) -> None:
        self._graph = graph
        self._repair = repair
        self._engine = engine
        self._events = EventStore(engine)
        self._files = files

    async def of(self, run: Run, outcome: Outcome) -> Start | None:
        """What to give to the graph; None when nothing is left to do but to end the run.

        Raises:
            RunAbandoned: It was tried too often.
        """
        if run.request.checkpoint and run.attempt == 1:
            return await self._gone_back(run, run.request.checkpoint)
        if run.attempt == 1 and not run.hold.dirty:
            return Start(await self._own_input(run))
        if run.attempt > 1 and (start := await self._answered(run, outcome)):
            return start
        return await self._settled(run, outcome)

    async def _gone_back(self, run: Run, checkpoint: str) -> Start:
        """From an older checkpoint. What was said behind it is another branch, and leaves the transcript."""
        if run.hold.dirty:
            await self._repair.settle(run.thread_id, run.id)
            await self._store_message(run)
        await self._repair.go_back(run.hold, checkpoint)
        return Start(await self._own_input(run), checkpoint)

    async def _own_input(self, run: Run) -> dict[str, Any] | None:
        return None if run.request.goes_on else await self._input(run, [message_of(run)])

    async def _input(self, run: Run, messages: list[BaseMessage]) -> dict[str, Any]:
        if not run.request.files:
            return {"messages": messages}
        files = [await self._files.info(run.request.principal, key) for key in run.request.files]
        # With which message a file came is known by the message's id, which outlives edits of it.
        came = {"message": run.record.message_id} if run.record.message_id else {}
        return {"messages": messages, "files": [{**file.as_ref(), **came} for file in files]}

    async def _answered(self, run: Run, outcome: Outcome) -> Start | None:
        """A person's answers to questions that still wait, or these questions again without answers.

        None after a crash before them, or behind them, and where the state refuses what was written last.
        """
        given = run.record.answers or {}
        config: Any = {"configurable": {"thread_id": run.thread_id, "checkpoint_ns": ""}}
        snapshot, refused = await state_of(self._graph, config)
        turn = this_turn(snapshot.values.get("messages", []))
        outcome.asked, outcome.earlier_answer = calls_of(turn), answer_in(turn)
        await recall(self._events, run.record, outcome, snapshot.values)
        if refused:
            return None
        answers = {i.id: given[i.id] for i in snapshot.interrupts if i.id in given}
        if not answers:
            return await self._called(run, outcome, snapshot, turn)
        saver: Any = self._graph.checkpointer
        if run.record.tries > 1:
            # An earlier attempt has given them; once more, and they would answer the next question.
            kept = _answered_ids((await saver.aget_tuple(config)).pending_writes or ())
            answers = {key: answer for key, answer in answers.items() if key not in kept}
        if not answers:
            return Start(None)
        return Start(Command(resume=await saver.answers_now(config, answers)))

    async def _called(
        self, run: Run, outcome: Outcome, snapshot: StateSnapshot, turn: list[BaseMessage]
    ) -> Start | None:
        """From where its process was gone before it could say that it asks, or before all calls were made.

        What was made is known by its receipt, and is not made again.
        """
        own = bool(turn) and turn[0].id == run.record.message_id and not run.only_end
        if not own or not (snapshot.interrupts or (snapshot.next and answered(turn)[1])):
            return None
        await self._store_message(run)
        outcome.messages = turn[1:]
        return Start(None, untold=await unsent(self._events, run.id, outcome.messages))

    async def _settled(self, run: Run, outcome: Outcome) -> Start | None:
        settled = await self._repair.settle(run.thread_id, run.id)
        await self._keep_words(run, settled)
        await self._store_message(run)
        if run.attempt > 1:
            outcome.messages = messages_after(settled.messages, run.record.message_id)
        if is_answered(settled.messages, run.record.message_id):
            return await self._last_step(run, await unsent(self._events, run.id, outcome.messages))
        if run.only_end:
            cut = await self._events.cut_answer(run.id)
            outcome.streamed = [lost_text(cut, settled.messages, run.record.message_id)]
            if run.record.tries > AT_MOST_ATTEMPTS:
                raise RunAbandoned(f"its process died at each of {AT_MOST_ATTEMPTS} attempts")
            return None
        unsendable = await self._unsendable(run)
        gone = removals(settled.messages, unsendable)
        missing = [m for m in _missing(run, settled) if m.id not in unsendable]
        return Start(await self._input(run, [*gone, *missing]))

    async def _unsendable(self, run: Run) -> set[str]:
        """Messages that were too long for their model by themselves, and would make each next prompt so."""
        mine = (runs.c.thread_id == run.thread_id) & (runs.c.id != run.id)
        query = select(runs.c.message_id).where(mine, runs.c.reason == ModelContextFull.code)
        async with self._engine.connect() as db:
            return {str(message_id) for message_id in (await db.execute(query)).scalars() if message_id}

    async def _last_step(self, run: Run, untold: Sequence[BaseMessage]) -> Start:
        """The answer is there, and what comes behind it may not be."""
        config: Any = {"configurable": {"thread_id": run.thread_id}}
        await self._graph.aupdate_state(config, {"messages": []}, as_node=model_step(self._graph))
        return Start(None, untold=untold)

    @uninterrupted
    async def _keep_words(self, run: Run, settled: Settled) -> None:
        """What the run before had said when its process died and this one took its place."""
        others = (runs.c.thread_id == run.thread_id) & (runs.c.id != run.id) & (runs.c.attempts > 0)
        query = select(runs).where(others).order_by(runs.c.fence.desc()).limit(1)
        async with self._engine.begin() as db:
            row = (await db.execute(query)).mappings().first()
            if row is None or row["status"] not in ("interrupted", "cancelled") or not row["output"]:
                return
            text = lost_text(str(row["output"].get("answer", "")), settled.messages, row["message_id"])
            if text:
                await insert_new(
                    db, transcript, partial_row(row["thread_id"], row["id"], row["attempts"], text)
                )

    @uninterrupted
    async def _store_message(self, run: Run) -> None:
        if run.record.message_id:
            async with self._engine.begin() as db:
                await store_message(db, run.thread_id, run.id, run.record.message_id, run.request)
        run.message_stored = True


def _missing(run: Run, settled: Settled) -> list[BaseMessage]:
    """What the checkpoint lacks of what the user said, this run's message last."""
    known = {message.id for message in [*settled.messages, *settled.lost]}
    own = [] if run.record.message_id in {*known, None} else [message_of(run)]
    return [*settled.lost, *own]


def _answered_ids(writes: Sequence[tuple[str, str, Any]]) -> set[str]:
    """Questions of steps that have been given an answer: LangGraph stores it before the step goes on."""
    steps = {step for step, channel, _ in writes if channel == RESUME}
    return {i.id for step, channel, asked in writes if channel == INTERRUPT and step in steps for i in asked}


class Endings:
    """Writes endings. One per process."""

    def __init__(self, ledger: RunLedger, writer: EventWriter, duty: Duty) -> None:
        # Where nobody reads, a run that is given back has not ended for anybody.
        self._tells_all = duty.answers
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
        pause, tried, place = FIRST_PAUSE_S, False, run.log.last
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
                await self._writer.tell_stored_end(run, place)
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
        run.log.add({"type": "notice", "code": error.code, "detail": text})

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
        is_told = self._tells_all or not ending.again
        more = await self._ledger.close(run.hold, ending if is_told else replace(ending, events=rest))
        if is_told:
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
        **outcome.used(),
        steps=run.step_rows,
        events=events,
        messages=[] if again else _messages(run, outcome, reply, status),
        webhook=run.request.webhook,
        told_as=run.request.told_as,
        attempt=run.attempt,
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
