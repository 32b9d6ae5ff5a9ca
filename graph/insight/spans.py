"""Where the time of a run went: its waterfall, from what is stored of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Any, Literal

from core.steps import Part
from graph.insight.run_events import ReadEvent
from graph.runs.record import RunRecord

Kind = Literal["run", "queue", "attempt", "step", "model", "tool", "retrieval", "waiting"]
# A run that waited less for its thread did not wait.
QUEUED_SECONDS = 0.05
# Times of steps and of events are taken one behind the other.
_SLACK = 0.002
_WORK: Mapping[Kind, Part] = {"model": "model", "retrieval": "passages", "tool": "tools"}
_MARKS = frozenset({"notice", "error"})


@dataclass(slots=True)
class Span:
    """A piece of time, in epoch seconds; `end` None: it goes on."""

    kind: Kind
    name: str
    start: float
    end: float | None
    status: str = "ok"
    attempt: int = 1
    detail: dict[str, Any] = field(default_factory=dict)
    parent: Span | None = None

    def holds(self, other: Span) -> bool:
        """True when the other one began within it."""
        return self.start - _SLACK <= other.start and (self.end is None or other.start <= self.end + _SLACK)


class Waterfall:
    """The spans of one run.

    Args:
        events: All that it told, in order.
        parts: Names of steps, and which part of a turn each is.
        live: Times of steps that are not stored yet, as `RunRecord.steps` has them.
        now: Epoch seconds.
    """

    def __init__(
        self,
        record: RunRecord,
        events: Sequence[ReadEvent],
        parts: Mapping[str, Part],
        *,
        live: Sequence[Mapping[str, Any]] = (),
        now: float,
    ) -> None:
        self._record = record
        self._events = events
        self._parts = parts
        self._now = now
        rows = live or record.steps
        self.root = Span("run", record.thread_id, record.created_at, self._run_end(), record.status)
        self.attempts = list(self._attempts())
        self.steps = [self._step(row) for row in rows]
        self.work = sorted([*self._models(), *self._tools(), *self._retrievals()], key=lambda s: s.start)

    def as_json(self) -> dict[str, Any]:
        """Times are milliseconds from when the run was asked for; `duration_ms` None: it goes on."""
        spans = self._nested()
        numbers = {id(span): number for number, span in enumerate(spans)}
        return {
            "run_id": self._record.id,
            "thread_id": self._record.thread_id,
            "status": self._record.status,
            "started_at": self._record.as_json()["created_at"],
            "duration_ms": self._ms((self.root.end or self._now) - self.root.start),
            "spans": [self._told(span, numbers) for span in spans],
            "marks": list(self._marks()),
            "totals": self._totals(spans),
        }

    def _run_end(self) -> float | None:
        if self._record.active or self._waits:
            return None
        ended = self._record.ended_at
        return ended or (self._events[-1].at if self._events else self._record.created_at)

    @property
    def _waits(self) -> bool:
        return self._record.status == "interrupted" and self._record.reason == "person"

    # -- what there is ------------------------------------------------------------------------------

    def _attempts(self) -> Iterator[Span]:
        begun = [event for event in self._events if event.type == "run_started"]
        for event, following in zip_longest(begun, begun[1:]):
            until = following.seq if following else float("inf")
            within = [e for e in self._events if event.seq <= e.seq < until]
            last = within[-1]
            over = last.type in ("done", "error") or following is not None or not self._record.active
            status = self._how(last, following, over=over)
            number = int(event.event.get("attempt", 1))
            name = f"attempt {number}"
            yield Span("attempt", name, event.at, last.at if over else None, status, number)

    def _how(self, last: ReadEvent, following: ReadEvent | None, *, over: bool) -> str:
        if not over:
            return "running"
        if last.type == "error":
            return "failed"
        if last.type == "done":
            return str(last.event.get("status", "done"))
        return "lost" if following else self._record.status

    def _step(self, row: Mapping[str, Any]) -> Span:
        start, taken = float(row["at"]), row["ms"]
        end = None if taken is None else start + taken / 1000
        status = row["end"] or ("running" if self._record.active else "lost")
        detail = {"part": self._parts.get(row["name"])}
        if end is None and not self._record.active:
            end = start
        return Span("step", str(row["name"]), start, end, status, int(row["attempt"]), detail)

    def _models(self) -> Iterator[Span]:
        heard: float | None = None
        for event in self._events:
            if event.type in ("token", "reasoning"):
                heard = heard or event.at
            elif event.type == "usage":
                start = self._began("model", event)
                told = {name: event.event.get(name) for name in ("input_tokens", "output_tokens", "cost")}
                first = None if heard is None else self._ms(max(heard - start, 0.0))
                told |= {"first_token_ms": first}
                yield self._span("model", str(event.event.get("model", "")), start, event.at, told)
                heard = None

    def _retrievals(self) -> Iterator[Span]:
        for event in self._events:
            if event.type == "documents":
                items, failed = _list(event.event, "items"), _list(event.event, "failed")
                sources = sorted({str(item.get("source", "")) for item in items if isinstance(item, dict)})
                told = {"passages": len(items), "sources": sources, "failed": failed}
                began, name = self._began("retrieval", event), ", ".join(sources) or "sources"
                span = self._span("retrieval", name, began, event.at, told)
                span.status = "error" if failed else "ok"
                yield span

    def _tools(self) -> Iterator[Span]:
        open_: dict[str, Span] = {}
        for event in self._events:
            told = event.event
            if event.type == "tool_call":
                about = {"server": told.get("server"), "id": told.get("id")}
                span = self._span("tool", str(told.get("tool", "")), event.at, None, about)
                span.status = "running"
                open_[str(told.get("id"))] = span
                yield span
            elif event.type == "tool_result" and (found := open_.pop(str(told.get("id")), None)):
                found.end, found.status = event.at, str(told.get("status", "ok"))
                found.detail["duration_ms"] = told.get("duration_ms")
                found.detail["files"] = len(_list(told, "files"))
            elif event.type in ("interrupt", "done", "error", "run_started"):
                for left in open_.values():
                    left.end = event.at
                    left.status = "waiting" if event.type == "interrupt" else "unknown"
                open_.clear()

    def _waiting(self) -> Iterator[Span]:
        asked: Span | None = None
        for event in self._events:
            if event.type == "interrupt":
                kind = str(event.event.get("kind", "question"))
                if asked is None:
                    asked = self._span("waiting", kind, event.at, None, {"questions": 0})
                    asked.status = "waiting"
                    yield asked
                asked.detail["questions"] += 1
            elif event.type == "run_started" and asked is not None:
                asked.end, asked.status, asked = event.at, "ok", None
        if asked is not None and not self._waits:
            asked.end, asked.status = self._record.ended_at or asked.start, "ok"

    def _queue(self) -> Iterator[Span]:
        first = next((event.at for event in self._events if event.type == "run_started"), None)
        begun = first if first is not None else (None if self._record.active else self._record.created_at)
        if begun is None or begun - self._record.created_at >= QUEUED_SECONDS:
            waits = "waiting" if begun is None else "ok"
            yield Span("queue", "before it began", self._record.created_at, begun, waits, 0)
        # A process died with it, and until another one took it up nobody worked.
        for died, following in pairwise(self.attempts):
            if died.status == "lost" and died.end is not None:
                yield Span("queue", "until it was taken up", died.end, following.start, "ok", 0)

    def _marks(self) -> Iterator[dict[str, Any]]:
        for event in self._events:
            if event.type in _MARKS:
                told = event.event
                yield {
                    "seq": event.seq,
                    "type": event.type,
                    "at_ms": self._ms(event.at - self.root.start),
                    "code": told.get("code", ""),
                    "detail": told.get("detail", ""),
                }

    # -- how it hangs together ------------------------------------------------------------------------

    def _began(self, kind: Kind, event: ReadEvent) -> float:
        """When what the event ended had begun: with its step, else where the event before it was told."""
        part = _WORK[kind]
        steps = [
            s
            for s in self.steps
            if s.detail["part"] == part and s.start - _SLACK <= event.at <= (s.end or self._now) + _SLACK
        ]
        if steps:
            return steps[-1].start
        before = [
            e.at for e in self._events if e.seq < event.seq and e.type not in ("token", "reasoning", "notice")
        ]
        return before[-1] if before else self._record.created_at

    def _span(self, kind: Kind, name: str, start: float, end: float | None, detail: dict[str, Any]) -> Span:
        attempt = [a.attempt for a in self.attempts if a.start - _SLACK <= start]
        return Span(kind, name, start, end, "ok", attempt[-1] if attempt else 1, detail)

    def _nested(self) -> list[Span]:
        """Every span behind the one that it belongs to, and in the order of time there."""
        several = len(self.attempts) > 1
        found = [self.root]
        if not self.attempts:  # events are kept for less long than runs
            for step in self.steps:
                step.parent = self.root
            found += self.steps
        top = sorted([*self._queue(), *self._waiting(), *self.attempts], key=lambda span: span.start)
        for span in top:
            span.parent = self.root
            if span.kind != "attempt":
                found.append(span)
                continue
            if several:
                found.append(span)
            found += self._inside(span, span if several else self.root)
        return found

    def _inside(self, attempt: Span, parent: Span) -> Iterator[Span]:
        steps = [s for s in self.steps if s.attempt == attempt.attempt]
        work = [s for s in self.work if s.attempt == attempt.attempt]
        for span in steps:
            span.parent = parent
        for span in work:
            mine = [s for s in steps if s.detail["part"] == _WORK[span.kind] and s.holds(span)]
            # Calls that go side by side each have a step of their own, which began just before.
            span.parent = mine[-1] if mine else parent
        loose = [span for span in work if span.parent is parent]
        for span in sorted([*steps, *loose], key=lambda s: s.start):
            yield span
            if span.kind == "step":
                yield from (one for one in work if one.parent is span)

    def _told(self, span: Span, numbers: Mapping[int, int]) -> dict[str, Any]:
        return {
            "id": numbers[id(span)],
            "parent": None if span.parent is None else numbers[id(span.parent)],
            "kind": span.kind,
            "name": span.name,
            "status": span.status,
            "attempt": span.attempt,
            "start_ms": self._ms(span.start - self.root.start),
            "duration_ms": None if span.end is None else self._ms(max(span.end - span.start, 0.0)),
            "detail": span.detail,
        }

    def _totals(self, spans: Sequence[Span]) -> dict[str, Any]:
        def taken(kind: Kind) -> float:
            mine = [span for span in spans if span.kind == kind]
            return self._ms(sum((span.end or self._now) - span.start for span in mine))

        record = self._record
        kinds: tuple[Kind, ...] = ("model", "tool", "retrieval", "waiting", "queue")
        return {
            **{f"{kind}_ms": taken(kind) for kind in kinds},
            "model_calls": sum(span.kind == "model" for span in spans),
            "tool_calls": sum(span.kind == "tool" for span in spans),
            "attempts": record.attempts,
            "events": self._events[-1].seq if self._events else 0,
            "input_tokens": record.input_tokens,
            "output_tokens": record.output_tokens,
            "cost": record.cost,
        }

    @staticmethod
    def _ms(seconds: float) -> float:
        return round(seconds * 1000, 1)


def _list(event: Mapping[str, Any], name: str) -> list[Any]:
    """A field that is a list; steps of others may tell what they like."""
    found = event.get(name)
    return found if isinstance(found, list) else []
