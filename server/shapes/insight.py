"""Where time and money of runs went, the graph, and the audit log."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from core.steps import Part
from graph.insight.costs import By
from graph.insight.spans import Kind
from server.shapes.form import OPEN, Json, Time
from server.shapes.runs import Status


class SpanShown(TypedDict):
    """A piece of a run's time. `duration_ms` is null while it goes on."""

    id: int
    parent: int | None
    kind: Kind
    name: str
    status: str
    attempt: int
    start_ms: float
    duration_ms: float | None
    detail: Annotated[Json, Field(description="Tokens and cost of a model call, id and server of a tool's.")]


class Mark(TypedDict):
    """A notice or an error, and when it was told."""

    seq: int
    type: Literal["notice", "error"]
    at_ms: float
    code: str
    detail: str


class RunTotals(TypedDict):
    """What the spans of a run come to."""

    model_ms: float
    tool_ms: float
    retrieval_ms: float
    waiting_ms: float
    queue_ms: float
    model_calls: int
    tool_calls: int
    attempts: int
    events: int
    input_tokens: int
    output_tokens: int
    cost: float | None


class RunSpans(TypedDict):
    """Where the time of a run went, in milliseconds from when it was asked for."""

    run_id: str
    thread_id: str
    status: Status
    started_at: Time
    duration_ms: float
    spans: list[SpanShown]
    marks: list[Mark]
    totals: RunTotals


class Sums(TypedDict):
    """What runs took together; `cost` is null where no price is known."""

    runs: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float


class CostRow(Sums):
    """The same of one day, model or user."""

    key: str


class Costs(TypedDict):
    """Runs, tokens, cost and time."""

    by: By
    rows: list[CostRow]
    totals: Sums


class StepFigures(TypedDict):
    """How often a step ran in the newest runs, and how long it took."""

    count: int
    errors: int
    median_ms: float | None
    p95_ms: float | None
    longest_ms: float | None


class GraphNode(TypedDict):
    """A step of the graph, and where it stands in a picture."""

    id: str
    name: str
    part: Part | None
    main: bool
    level: int
    place: int
    beside: int
    figures: StepFigures | None


# In this form, since `from` is a word of Python.
GraphEdge = TypedDict("GraphEdge", {"from": str, "to": str, "conditional": bool})


class GraphShown(TypedDict):
    """The graph with its figures."""

    runs: int
    parts: list[Part]
    nodes: list[GraphNode]
    edges: list[GraphEdge]


class AuditLine(TypedDict):
    """Who did what, when, with what outcome; `details` are those of the event."""

    __pydantic_config__ = OPEN  # type: ignore[misc]  # how pydantic wants it
    at: Time
    who: str
    what: str
    outcome: str
    details: Json
    run_id: NotRequired[str]
    thread_id: NotRequired[str]
    request_id: NotRequired[str]
