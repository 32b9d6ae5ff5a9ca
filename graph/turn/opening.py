"""Where an attempt of a run begins: with its message, with a person's answers, or where it was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage
from langgraph.checkpoint.serde.types import INTERRUPT, RESUME
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import insert_new
from core.uninterrupted import uninterrupted
from graph.db.tables import runs, transcript
from graph.errors import RunAbandoned
from graph.flow.builder import model_step
from graph.flow.routing import this_turn
from graph.flow.state import answer_in, calls_of, text_of
from graph.runs.events import EventStore
from graph.runs.ledger import AT_MOST_ATTEMPTS
from graph.runs.record import Outcome, Run, message_of
from graph.runs.rows import store_message
from graph.threads.transcript import partial_row
from graph.turn.repair import Repair, Settled, is_answered
from nodes.file_storage import FileManager
from nodes.llm.errors import ModelContextFull


@dataclass(frozen=True, slots=True)
class Start:
    """What the graph is given; None goes on from the checkpoint."""

    given: Any


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
        if run.attempt == 1 and not run.hold.dirty:
            return Start(await self._input(run, [message_of(run)]))
        if run.attempt > 1 and (start := await self._answered(run, outcome)):
            return start
        return await self._settled(run, outcome)

    async def _input(self, run: Run, messages: list[BaseMessage]) -> dict[str, Any]:
        if not run.request.files:
            return {"messages": messages}
        files = [await self._files.info(run.request.principal, key) for key in run.request.files]
        return {"messages": messages, "files": [file.as_ref() for file in files]}

    async def _answered(self, run: Run, outcome: Outcome) -> Start | None:
        """A person's answers to questions that still wait; None after a crash behind them."""
        given = run.record.answers or {}
        if not given:
            return None
        config: Any = {"configurable": {"thread_id": run.thread_id, "checkpoint_ns": ""}}
        snapshot = await self._graph.aget_state(config)
        turn = this_turn(snapshot.values.get("messages", []))
        outcome.asked, outcome.earlier_answer = calls_of(turn), answer_in(turn)
        answers = {i.id: given[i.id] for i in snapshot.interrupts if i.id in given}
        if not answers:
            return None
        saver: Any = self._graph.checkpointer
        if run.record.tries > 1:
            # An earlier attempt has given them; once more, and they would answer the next question.
            kept = _answered_ids((await saver.aget_tuple(config)).pending_writes or ())
            answers = {key: answer for key, answer in answers.items() if key not in kept}
        if not answers:
            return Start(None)
        return Start(Command(resume=await saver.answers_now(config, answers)))

    async def _settled(self, run: Run, outcome: Outcome) -> Start | None:
        settled = await self._repair.settle(run.thread_id, run.id)
        await self._keep_words(run, settled)
        await self._store_message(run)
        if run.attempt > 1:
            outcome.messages = _since(settled.messages, run.record.message_id)
        if is_answered(settled.messages, run.record.message_id):
            return await self._last_step(run)
        if run.only_end:
            spoken = await self._events.spoken(run.id)
            outcome.streamed = [_unkept(spoken, settled.messages, run.record.message_id)]
            if run.record.tries > AT_MOST_ATTEMPTS:
                raise RunAbandoned(f"its process died at each of {AT_MOST_ATTEMPTS} attempts")
            return None
        unsendable = await self._unsendable(run)
        gone = _removals(settled.messages, unsendable)
        missing = [m for m in _missing(run, settled) if m.id not in unsendable]
        return Start(await self._input(run, [*gone, *missing]))

    async def _unsendable(self, run: Run) -> set[str]:
        """Messages that were too long for their model by themselves, and would make each next prompt so."""
        mine = (runs.c.thread_id == run.thread_id) & (runs.c.id != run.id)
        query = select(runs.c.message_id).where(mine, runs.c.reason == ModelContextFull.code)
        async with self._engine.connect() as db:
            return {str(message_id) for message_id in (await db.execute(query)).scalars() if message_id}

    async def _last_step(self, run: Run) -> Start:
        """The answer is there, and what comes behind it may not be."""
        config: Any = {"configurable": {"thread_id": run.thread_id}}
        await self._graph.aupdate_state(config, {"messages": []}, as_node=model_step(self._graph))
        return Start(None)

    @uninterrupted
    async def _keep_words(self, run: Run, settled: Settled) -> None:
        """What the run before had said when its process died and this one took its place."""
        others = (runs.c.thread_id == run.thread_id) & (runs.c.id != run.id) & (runs.c.attempts > 0)
        query = select(runs).where(others).order_by(runs.c.fence.desc()).limit(1)
        async with self._engine.begin() as db:
            row = (await db.execute(query)).mappings().first()
            if row is None or row["status"] not in ("interrupted", "cancelled") or not row["output"]:
                return
            text = _unkept(str(row["output"].get("answer", "")), settled.messages, row["message_id"])
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


def _removals(messages: Sequence[BaseMessage], unsendable: set[str]) -> list[BaseMessage]:
    """Take these messages out of the state; they stay in the transcript.

    One that was followed by calls was sent, and only what came of it was too much. It stays:
    a model that does not know what was done would do it again.
    """
    following = [*messages[1:], None]
    return [
        RemoveMessage(id=message.id)
        for message, after in zip(messages, following, strict=False)
        if message.id and message.id in unsendable and not isinstance(after, AIMessage)
    ]


def _missing(run: Run, settled: Settled) -> list[BaseMessage]:
    """What the checkpoint lacks of what the user said, this run's message last."""
    known = {message.id for message in [*settled.messages, *settled.lost]}
    own = [] if run.record.message_id in known else [message_of(run)]
    return [*settled.lost, *own]


def _unkept(text: str, messages: list[BaseMessage], message_id: str | None) -> str:
    """What was heard of an answer to this message, unless the answer itself is there."""
    answers = [m for m in _since(messages, message_id) if isinstance(m, AIMessage)]
    return "" if any(text_of(answer).startswith(text) for answer in answers) else text


def _since(messages: list[BaseMessage], message_id: str | None) -> list[BaseMessage]:
    start = next((i for i, message in enumerate(messages) if message.id == message_id), len(messages))
    return messages[start + 1 :]


def _answered_ids(writes: Sequence[tuple[str, str, Any]]) -> set[str]:
    """Questions of steps that have been given an answer: LangGraph stores it before the step goes on."""
    steps = {step for step, channel, _ in writes if channel == RESUME}
    return {i.id for step, channel, asked in writes if channel == INTERRUPT and step in steps for i in asked}
