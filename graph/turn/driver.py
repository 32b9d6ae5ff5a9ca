"""Drive the graph through one attempt of a run and tell the run's log what happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.graph.state import CompiledStateGraph

from core.access import context_for
from core.correlation import Sink, answering, correlated, listening
from core.database.outage import DatabaseUnavailable, Endurance, endured, enduring, storage_outage
from core.errors import Internal, WaystationError
from core.events import Event
from core.observability import RUNNING, extracted, track_duration, turn_span
from core.settings.book import Editions
from core.settings.platform import LimitSettings
from graph.errors import LeaseLost, StepLimit, TurnTimedOut
from graph.flow.builder import is_of_the_house, looking_steps
from graph.flow.routing import observed_by
from graph.flow.state import text_of
from graph.runs.announcements import TurnFinished, TurnStarted
from graph.runs.events import LAST
from graph.runs.lease import held
from graph.runs.names import FORMER_NAMES, renewed
from graph.runs.record import Outcome, Run, Stop, added
from graph.threads.history.look import questioned
from graph.turn.attempt import Endings, Opening, Start
from graph.turn.details import DETAILS, steps_in
from graph.turn.slots import TurnSlot, TurnSlots

log = structlog.get_logger()

# How long an attempt waits for a database that is away before it gives the run back: longer than most
# restarts take, and short enough that a turn does not sit there for a disk that stays full.
OUTAGE_SECONDS = 60.0
# What a step of a further module tells may lack these, or have what is the log's own.
_FIELDS: dict[str, tuple[str, ...]] = {
    "token": ("delta",),
    "file": ("key", "name", "media_type", "size"),
    "usage": ("input_tokens", "output_tokens", "model"),
    "notice": ("code", "detail"),
}
_OURS = frozenset({"seq", "run_id"})
_SHOWN = 200
_STATUS_OF_STOP: dict[Stop | None, str] = {"drain": "interrupted"}


class TurnDriver:
    """Runs turns that were let in. One per process.

    Args:
        opening: Finds out where the attempt begins.
        endings: Writes how it ended.
        editions: The limits of now: how long a turn may take, and how many
            model calls it may make where its caller says nothing.
        publish: Told of turns that begin and end.
        behind: Called with each run whose log has a new event.
        remarks: Tell what caches and policies did as notices of the run.
    """

    def __init__(
        self,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        opening: Opening,
        endings: Endings,
        *,
        editions: Editions,
        publish: Callable[[Event], None] = lambda _: None,
        behind: Callable[[Run], None] = lambda _: None,
        remarks: bool = False,
    ) -> None:
        self._graph = graph
        self._opening = opening
        self._endings = endings
        self._editions = editions
        self._publish = publish
        self._behind = behind
        self._remarks = remarks
        self._looking = looking_steps(graph)
        # Where LangGraph need not listen for what steps tell, it runs a step that is alone in this task, and
        # not in one of its own beside another that waits for news.
        self._of_the_house = is_of_the_house(graph)
        self._modes: Any = ["updates"] if self._of_the_house else ["custom", "updates"]
        self._slots = TurnSlots()

    async def drive(self, run: Run) -> None:
        """The whole attempt; whatever happens, the log closes and the thread is free again."""
        with (
            correlated(
                request_id=run.request_id,
                run_id=run.id,
                thread_id=run.thread_id,
                user=run.request.principal.id,
            ),
            listening(self._remarks_of(run)),
            answering(),
            extracted({"traceparent": run.traceparent}),
            turn_span(model=run.request.choices.model) as span,
            held(run.hold),
            enduring(self._endurance(run)),
        ):
            self._publish(TurnStarted(run.request.choices.model))
            began = time.perf_counter()
            outcome = await self._whole(run)
            if run.error:
                span.error(run.error.code)
            span.set(input_tokens=outcome.input_tokens, output_tokens=outcome.output_tokens)
            self._publish(_finished(run, outcome, seconds=time.perf_counter() - began))

    async def _whole(self, run: Run) -> Outcome:
        outcome, status = Outcome.after(run.record), "failed"
        RUNNING.inc()
        try:
            with track_duration("turn"):
                status = await self._bounded(run, outcome)
        except LeaseLost:
            run.stopped = "lost"
        except DatabaseUnavailable as error:
            # Longer than a turn waits: one that may be gone on with is, when the database is back.
            if run.record.policy == "resume" and run.stopped is None:
                run.stopped, status = "outage", "interrupted"
            else:
                run.error = error
        except WaystationError as error:
            run.error = error
        except Exception as error:
            # The edge of a turn: a fault of ours ends this turn and not the service.
            run.error = storage_outage(error)
            if run.error is None:
                log.exception("turn_failed")
                run.error = Internal("the turn failed by a fault of ours; the log has the details")
                run.error.__cause__ = error
        finally:
            RUNNING.dec()
            outcome.status = "failed" if run.error else status
            # From here on nothing cuts it: whoever wants it stopped waits for its end.
            run.ending = True
            await asyncio.shield(self._endings.end(run, outcome))
        return outcome

    async def _bounded(self, run: Run, outcome: Outcome) -> str:
        """The attempt's status; failures are raised."""
        seconds = self._limits.turn_seconds
        timer = asyncio.get_running_loop().call_later(seconds, run.is_over_time)
        try:
            run.begin()
            went_on = await self._attempt(run, outcome)
        except (asyncio.CancelledError, GraphDrained):
            if run.is_late and run.stopped is None:
                raise TurnTimedOut(
                    f"no answer within {seconds:g} s; ask for less or raise limits.turn_seconds"
                ) from None
            return _STATUS_OF_STOP.get(run.stopped, "cancelled")
        except GraphRecursionError:
            raise StepLimit("the turn went round too often; raise max_steps or ask for less") from None
        finally:
            timer.cancel()
        return "interrupted" if outcome.interrupts or not went_on else "done"

    async def _attempt(self, run: Run, outcome: Outcome) -> bool:
        """False when nothing was left to do but to end the run."""
        with await self._slots.enter(run.request.principal.id) as place:
            start = await endured(self._opening.of, run, outcome)
            if start is not None:
                self._tell(run, {"type": "run_started", "thread_id": run.thread_id, "attempt": run.attempt})
                for said in start.untold:
                    self._tell_answer(run, said)
                await self._go(run, start, outcome, place)
            return start is not None

    def _remarks_of(self, run: Run) -> Sink:
        if not self._remarks:
            return lambda code, text: None
        return lambda code, text: self._tell(run, {"type": "notice", "code": code, "detail": text})

    def _endurance(self, run: Run) -> Endurance:
        def away(error: DatabaseUnavailable, took: float) -> None:
            log.warning("turn_waits_for_database", reason=error.reason)
            run.meets(error, took)
            text = f"the database {error.reason}; the turn goes on when it is back"
            self._tell(run, {"type": "notice", "code": error.code, "detail": text})

        return Endurance(OUTAGE_SECONDS, away=away, back=run.over_it)

    def _tell(self, run: Run, event: dict[str, Any]) -> None:
        run.log.add(event)
        self._behind(run)

    def close(self) -> None:
        """The service stops: an ending that cannot be stored now is left to other processes."""
        self._endings.closing.set()

    @property
    def _limits(self) -> LimitSettings:
        return self._editions.now().book[LimitSettings]

    async def _go(self, run: Run, start: Start, outcome: Outcome, place: TurnSlot) -> None:
        where = {"checkpoint_id": start.checkpoint} if start.checkpoint else {}
        config: Any = {
            "configurable": {"thread_id": run.thread_id, **where},
            "run_id": None,
            # Only a backstop, with room for steps of further modules in every round and beside them.
            "recursion_limit": len(self._graph.nodes)
            * (1 + (run.request.choices.max_steps or self._limits.steps)),
        }
        stream: AsyncIterator[Any] = self._graph.astream(
            start.given,
            config,
            context=context_for(run.request.choices, run.request.principal),
            stream_mode=self._modes,
            # A step begins when the one before it is on disk: a forgotten call would be made again.
            durability="sync",
            control=run.control,
        )

        def begins(step: str) -> None:
            if step not in self._looking:
                place.leave()

        def wrote(step: str, writes: Any) -> None:
            # LangGraph gives the update when the next step begins: who is stopped before has written too.
            if self._of_the_house:
                gather(outcome, {step: writes})

        hear = partial(self._hear, run, outcome)
        with observed_by(hear, run.steps, begins, wrote, straight=self._of_the_house), asking(outcome):
            async for mode, data in stream:
                if mode == "custom":
                    self._hear(run, outcome, data)
                else:
                    gather(outcome, data)
                    self._tell_steps(run, data)
        # Only now: calls that go side by side pause in any order.
        outcome.put_in_order()
        for asked in outcome.interrupts:
            self._tell(run, {"type": "interrupt", **asked})

    def _tell_answer(self, run: Run, said: BaseMessage) -> None:
        """An answer of the attempt before, whose readers had not all of it when its process was gone."""
        if run.request.detailed:
            self._tell(run, {"type": "answer", "id": said.id})
        self._tell(run, {"type": "token", "delta": text_of(said)})

    def _tell_steps(self, run: Run, update: dict[str, Any]) -> None:
        for step in steps_in(update) if run.request.detailed else ():
            self._tell(run, step)

    def _hear(self, run: Run, outcome: Outcome, told: Any) -> None:
        """A step says something while it works; what is no event is not told on."""
        if isinstance(told, dict) and not FORMER_NAMES.isdisjoint(told):
            # A step of others says it in the words of the release before.
            told = renewed(told)
        if is_event(told):
            hear(outcome, told)
            if run.request.detailed or told["type"] not in DETAILS:
                self._tell(run, told)
        else:
            log.warning("step_event_left_out", told=repr(told)[:_SHOWN])


@contextmanager
def asking(outcome: Outcome) -> Iterator[None]:
    """In the block steps ask a person; where it ends otherwise, nobody is asked.

    The call that is asked about may not be on disk, and nobody could go on with an answer.
    """
    try:
        yield
    except BaseException:
        outcome.interrupts.clear()
        raise


def _finished(run: Run, outcome: Outcome, *, seconds: float) -> TurnFinished:
    return TurnFinished(
        status=outcome.status,
        code=run.error.code if run.error else "",
        model=outcome.model,
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
        tool_calls=sum(isinstance(message, ToolMessage) for message in outcome.messages),
        duration_ms=round(seconds * 1000),
    )


def is_event(told: Any) -> bool:
    """Whether what a step told is an event: readers of the stream need its type, and the fields of that."""
    if not isinstance(told, dict) or not isinstance(told.get("type"), str):
        return False
    fields = _FIELDS.get(told["type"], ())
    return told["type"] not in LAST and not told.keys() & _OURS and all(field in told for field in fields)


def hear(outcome: Outcome, event: dict[str, Any]) -> None:
    """A node said something while it worked: keep what the reply needs of it."""
    kind = event["type"]
    if kind == "token":
        outcome.streamed.append(event["delta"])
    elif kind == "file":
        # A step that is done once more tells it once more.
        others = [file for file in outcome.files if file["key"] != event["key"]]
        outcome.files = [*others, {k: event[k] for k in ("key", "name", "media_type", "size")}]
    elif kind == "usage":
        outcome.input_tokens += event["input_tokens"]
        outcome.output_tokens += event["output_tokens"]
        outcome.model = event["model"]
        outcome.cost = added(outcome.cost, event.get("cost"))


def gather(outcome: Outcome, update: dict[str, Any]) -> None:
    """A step ended: keep what the reply is made of."""
    for node, writes in update.items():
        if node == "__interrupt__":
            outcome.interrupts += [questioned(waiting) for waiting in writes]
            continue
        # A step that writes to a channel more than once has a list of writes.
        for written in writes if isinstance(writes, list) else [writes or {}]:
            _keep(outcome, written)


def _say(said: list[BaseMessage], message: BaseMessage) -> None:
    """A further step may change what was said: it then stands in its place, as in the state."""
    for place, before in enumerate(said):
        if before is message or (before.id == message.id and message.id):
            said[place] = message
            return
    said.append(message)


def _keep(outcome: Outcome, written: dict[str, Any]) -> None:
    said = written.get("messages")
    # One that takes the place of all says nothing new.
    for message in said if isinstance(said, list) else []:
        if isinstance(message, RemoveMessage):
            # What this attempt said is taken back. What was there before leaves the window, and stays in the
            # transcript.
            outcome.messages = [said for said in outcome.messages if said.id != message.id]
            continue
        _say(outcome.messages, message)
        if isinstance(message, AIMessage):
            outcome.streamed.clear()
    if "documents" in written:
        outcome.documents = written["documents"] or []
