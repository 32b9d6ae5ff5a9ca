"""Drive the graph through one turn and tell the run's log what happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from core.context import RunContext
from core.correlation import correlated
from core.editions import Editions
from core.errors import Internal, WaystationError
from core.events import Event
from core.notices import Sink, listening
from core.observability import RUNNING, TURNS, extracted, track_duration, turn_span
from core.settings.platform import LimitSettings
from graph.announcements import TurnFinished, TurnStarted
from graph.errors import StepLimit, TurnTimedOut
from graph.lease import Leases, Turn
from graph.repair import repair
from graph.reply import reply_of
from graph.runs import Outcome, Run, TurnRequest
from graph.transcript import Transcript

log = structlog.get_logger()

# Super-steps beside the model and tool rounds: configuration, retrieval, files, a look-up after a pause.
_OTHER_STEPS = 8


class TurnDriver:
    """Runs turns that were let in. One per process.

    Args:
        editions: The limits of now: how long a turn may take, and how many
            model calls it may make where its caller says nothing.
        publish: Told of turns that begin and end.
        remarks: Tell what caches and policies did as notices of the run.
    """

    def __init__(
        self,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        leases: Leases,
        transcript: Transcript,
        *,
        editions: Editions,
        publish: Callable[[Event], None] = lambda _: None,
        remarks: bool = False,
    ) -> None:
        self._graph = graph
        self._leases = leases
        self._transcript = transcript
        self._editions = editions
        self._publish = publish
        self._remarks = remarks

    async def drive(self, run: Run, turn: Turn, start: Command[Any] | dict[str, Any]) -> None:
        """The whole turn; whatever happens, the log closes and the thread is free again."""
        with (
            correlated(
                request_id=run.request_id,
                run_id=run.id,
                thread_id=run.thread_id,
                user=run.request.principal.id,
            ),
            listening(self._remarks_of(run)),
            extracted({"traceparent": run.traceparent}),
            turn_span(model=run.request.model) as span,
        ):
            self._publish(TurnStarted(run.request.model))
            began = time.perf_counter()
            outcome = await self._whole(run, turn, start)
            if run.error:
                span.error(run.error.code)
            span.set(input_tokens=outcome.input_tokens, output_tokens=outcome.output_tokens)
            self._publish(_finished(run, outcome, seconds=time.perf_counter() - began))

    async def _whole(self, run: Run, turn: Turn, start: Command[Any] | dict[str, Any]) -> Outcome:
        outcome, status = Outcome(), "failed"
        seconds = self._limits.turn_seconds
        RUNNING.inc()
        try:
            with track_duration("turn"):
                async with asyncio.timeout(seconds):
                    whole = await self._repaired(turn, start)
                    run.log.add({"type": "run_started", "thread_id": run.thread_id, "attempt": 1})
                    await self._go(run, whole, outcome)
            status = "interrupted" if outcome.interrupts else "done"
        except asyncio.CancelledError:
            status = "cancelled"
        except TimeoutError:
            run.error = TurnTimedOut(
                f"no answer within {seconds:g} s; ask for less or raise limits.turn_seconds"
            )
        except GraphRecursionError:
            run.error = StepLimit("the turn went round too often; raise max_steps or ask for less")
        except WaystationError as error:
            run.error = error
        except Exception as error:
            # The edge of a turn: a fault of ours ends this turn and not the service.
            log.exception("turn_failed")
            run.error = Internal("the turn failed by a fault of ours; the log has the details")
            run.error.__cause__ = error
        finally:
            RUNNING.dec()
            outcome.status = "failed" if run.error else status
            await asyncio.shield(self._end(run, turn, outcome, status))
        return outcome

    def _remarks_of(self, run: Run) -> Sink:
        if not self._remarks:
            return lambda code, text: None
        return lambda code, text: run.log.add({"type": "notice", "code": code, "text": text})

    @property
    def _limits(self) -> LimitSettings:
        return self._editions.now().book[LimitSettings]

    async def _repaired(
        self, turn: Turn, start: Command[Any] | dict[str, Any]
    ) -> Command[Any] | dict[str, Any]:
        """The turn's input behind what an earlier turn left undone; its message is on disk after this."""
        if not turn.dirty or isinstance(start, Command):
            return start
        lost = await repair(self._graph, self._transcript, turn.thread_id)
        await self._leases.tell(turn)
        return {**start, "messages": [*lost, *start["messages"]]}

    async def _go(self, run: Run, start: Command[Any] | dict[str, Any], outcome: Outcome) -> None:
        config: Any = {
            "configurable": {"thread_id": run.thread_id},
            "run_id": None,
            "recursion_limit": 2 * (run.request.max_steps or self._limits.steps) + _OTHER_STEPS,
        }
        stream: AsyncIterator[Any] = self._graph.astream(
            start,
            config,
            context=context_for(run.request),
            stream_mode=["custom", "updates"],
            durability="async",
        )
        async for mode, data in stream:
            if mode == "custom":
                _hear(run, outcome, data)
            else:
                _gather(run, outcome, data)

    async def _end(self, run: Run, turn: Turn, outcome: Outcome, status: str) -> None:
        reply = reply_of(run, outcome, status=status)
        try:
            await self._store(run, outcome, reply, status)
            shown = {"done": "idle", "cancelled": "idle"}.get(status, status)
            await self._leases.give_back(turn, status=shown, clean=status == "done")
        except Exception as error:
            # The reader must get a last event, also when the disk is full.
            log.exception("turn_not_stored")
            run.error = run.error or Internal("the answer could not be stored; the log has the details")
            run.error.__cause__ = error
        TURNS.labels(status if run.error is None else "failed").inc()
        if run.error:
            run.log.add({"type": "error", **problem_of(run.error)})
            return
        run.reply = reply
        run.log.add({"type": "done", **reply})

    async def _store(self, run: Run, outcome: Outcome, reply: dict[str, Any], status: str) -> None:
        messages = list(outcome.messages)
        extras: dict[str, dict[str, Any]] = {}
        partial = "".join(outcome.streamed)
        if status in {"cancelled", "failed"} and partial:
            messages.append(AIMessage(partial, id=f"partial_{run.id}"))
            extras[f"partial_{run.id}"] = {"partial": True}
        elif messages and (reply["citations"] or reply["files"]):
            extras[str(messages[-1].id)] = {"citations": reply["citations"], "files": reply["files"]}
        await self._transcript.append(run.thread_id, run.id, messages, extras)


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


def context_for(request: TurnRequest) -> RunContext:
    """The graph's context for a request."""
    return RunContext(
        user=request.principal.id,
        groups=sorted(request.principal.groups),
        levels=sorted(request.principal.levels),
        model=request.model,
        sources=None if request.sources is None else list(request.sources),
        tools=None if request.tools is None else list(request.tools),
        temperature=request.temperature,
        max_steps=request.max_steps,
        approval=request.approval,
    )


def human(text: str, message_id: str) -> HumanMessage:
    """The user's message as the thread keeps it."""
    return HumanMessage(text, id=message_id)


def problem_of(error: WaystationError) -> dict[str, Any]:
    """An error as its event carries it."""
    return {"code": error.code, "title": error.title, "detail": error.detail, "retryable": error.retryable}


def _hear(run: Run, outcome: Outcome, event: dict[str, Any]) -> None:
    """A node said something while it worked."""
    kind = event["type"]
    if kind == "token":
        outcome.streamed.append(event["text"])
    elif kind == "file":
        outcome.files.append({k: event[k] for k in ("key", "name", "media_type", "size")})
    elif kind == "usage":
        outcome.input_tokens += event["input_tokens"]
        outcome.output_tokens += event["output_tokens"]
        outcome.model = event["model"]
    run.log.add(event)


def _gather(run: Run, outcome: Outcome, update: dict[str, Any]) -> None:
    """A step ended: keep what the reply is made of."""
    for node, writes in update.items():
        if node == "__interrupt__":
            for waiting in writes:
                found = {"id": waiting.id, **waiting.value}
                outcome.interrupts.append(found)
                run.log.add({"type": "interrupt", **found})
            continue
        for message in (writes or {}).get("messages", []):
            outcome.messages.append(message)
            if isinstance(message, AIMessage):
                outcome.streamed.clear()
        outcome.documents = (writes or {}).get("documents", outcome.documents)
