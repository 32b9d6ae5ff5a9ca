"""Spans and durations: what happened in a turn, how long it took, and what it belonged to.

Those of a turn have one constructor each, so that nobody else spells names and attributes.

Nothing is recorded until an exporter is set (see otlp). Until then `span` is one `if`, but a caller's
`traceparent` still travels through to the servers that we call.

No span carries a message, an answer or a user. An error is its code, never its text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import Token
from typing import Literal, Self

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core import correlation
from core.errors import WaystationError
from core.observability import conventions
from core.observability.metrics import DURATION, GENAI_SECONDS, GENAI_TOKENS

Kind = Literal["internal", "client", "server"]
Value = str | bool | int | float | None

TRACEPARENT = "traceparent"

_KINDS: dict[Kind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "client": trace.SpanKind.CLIENT,
    "server": trace.SpanKind.SERVER,
}
# Only `traceparent` goes in and out: tracestate and baggage would carry other people's data along.
_W3C = TraceContextTextMapPropagator()
_ERROR = trace.Status(trace.StatusCode.ERROR)


class Span:
    """A piece of work that is going on; this one is of a process that records none."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, stack: object) -> None:
        return None

    def set(self, **attributes: Value) -> None:
        """Add what is known by now; None is left out. Names: see `conventions.NAMES`."""

    def error(self, code: str) -> None:
        """It failed, although nothing is raised here.

        Args:
            code: The error's stable code, of few possible ones; never its text.
        """


class _Attached(Span):
    """Makes a span the parent of what begins inside the block."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Token[context.Context] | None = None

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: object, error: BaseException | None, stack: object) -> None:
        token, self._token = self._token, None
        if token is None:
            return
        try:
            token.var.reset(token)
        except ValueError:
            # A stream that is closed by another task than the one that opened it: that task's context is
            # not ours to change. OpenTelemetry's own `detach` would log each of these as an error.
            return


class _Recording(_Attached):
    """A span that will be exported."""

    __slots__ = ("_calm",)

    def __init__(self, span: trace.Span, calm: tuple[type[BaseException], ...]) -> None:
        super().__init__(span)
        self._calm = calm

    def __exit__(self, kind: object, error: BaseException | None, stack: object) -> None:
        super().__exit__(kind, error, stack)
        if error is not None:
            self._end_with(error)
        self._span.end()

    def _end_with(self, error: BaseException) -> None:
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self.set(outcome="cancelled")
        elif isinstance(error, self._calm):
            self.set(outcome="interrupted")
        else:
            self.error(code_of(error))

    def set(self, **attributes: Value) -> None:
        if self._span.is_recording():
            self._span.set_attributes(conventions.named(attributes))

    def error(self, code: str) -> None:
        self.set(error=code)
        self._span.set_status(_ERROR)


OFF = Span()
_tracer: trace.Tracer | None = None


def set_tracer(tracer: trace.Tracer | None) -> None:
    """Record spans with this tracer from now on; None: record none."""
    global _tracer  # noqa: PLW0603 - spans are opened from everywhere; a lookup would cost more than the `if`
    _tracer = tracer


def recording() -> bool:
    """Whether spans are recorded."""
    return _tracer is not None


def span(
    name: str, *, kind: Kind = "internal", calm: tuple[type[BaseException], ...] = (), **attributes: Value
) -> Span:
    """A block of work, child of the span around it. Ends with the block, failed when the block raises.

    Args:
        name: Of few possible ones: an operation and what it is done to, never what a user typed.
        kind: client for a call to another process.
        calm: Exceptions that are no failure here, such as a pause for a person.
        attributes: See `conventions.NAMES`; None is left out.
    """
    if _tracer is None:
        return OFF
    started = _tracer.start_span(name, kind=_KINDS[kind], attributes=conventions.named(attributes))
    return _Recording(started, calm)


def code_of(error: BaseException) -> str:
    """What an error is called in spans and metrics: our code, or its type."""
    return error.code if isinstance(error, WaystationError) else type(error).__name__


def extracted(headers: Mapping[str, str]) -> Span:
    """Inside the block, spans continue the trace that the caller's `traceparent` names.

    Without the header, or with one that is not valid, nothing changes.
    """
    given = headers.get(TRACEPARENT) or headers.get("Traceparent")
    if not given:
        return OFF
    remote = trace.get_current_span(_W3C.extract({TRACEPARENT: given}, context.Context()))
    # It ends in the caller's process: nothing is set on it here.
    return _Attached(remote) if remote.get_span_context().is_valid else OFF


def traceparent() -> str:
    """The W3C header that makes another process continue this trace; "" outside of one."""
    now = trace.get_current_span().get_span_context()
    if not now.is_valid:
        return ""
    return f"00-{now.trace_id:032x}-{now.span_id:016x}-{now.trace_flags:02x}"


def inject(headers: MutableMapping[str, str]) -> None:
    """Add `traceparent` to the headers of an outgoing request, where there is a trace."""
    found = traceparent()
    if found:
        headers[TRACEPARENT] = found


def trace_id() -> str:
    """The current trace, as log lines name it; "" outside of one."""
    now = trace.get_current_span().get_span_context()
    return f"{now.trace_id:032x}" if now.is_valid else ""


def turn_span(*, model: str = "") -> Span:
    """One turn: everything between a message and its answer.

    Args:
        model: The model that the caller asked for; "" where it did not.
    """
    by = correlation.current()
    return span(
        f"invoke_agent {conventions.AGENT}",
        operation="invoke_agent",
        agent=conventions.AGENT,
        conversation=by.thread_id,
        run_id=by.run_id,
        request_id=by.request_id,
        model=model,
    )


def node_span(node: str, *, calm: tuple[type[BaseException], ...] = ()) -> Span:
    """One step of the graph.

    Args:
        node: Its name in the graph.
        calm: What the graph raises to pause; no failure.
    """
    return span(f"node {node}", calm=calm, node=node)


def tool_span(tool: str, *, server: str = "", call_id: str = "") -> Span:
    """One call of a tool.

    Args:
        tool: Its name at its server.
        server: The MCP server that runs it.
        call_id: The model's id of the call.
    """
    return span(
        f"execute_tool {tool}",
        operation="execute_tool",
        tool=tool,
        tool_type="function",
        tool_call=call_id,
        server=server,
        mcp_method="tools/call" if server else "",
    )


def retrieval_span(source: str = "", *, top_k: int | None = None) -> Span:
    """One search, in a source or ("") over several.

    Args:
        source: The source's name.
        top_k: The passages asked for.
    """
    return span(
        f"retrieval {source}" if source else "retrieval",
        kind="client" if source else "internal",
        operation="retrieval",
        source=source,
        top_k=top_k,
    )


def file_span(operation: str, *, backend: str = "") -> Span:
    """One operation on a stored file; its size may be `set`, its name may not.

    Args:
        operation: put, get, delete, list, ...
        backend: Where the file is kept: local or s3.
    """
    return span(
        f"file {operation}",
        kind="internal" if backend == "local" else "client",
        file_operation=operation,
        file_backend=backend,
    )


def model_span(
    model: str, *, provider: str, operation: str = "chat", stream: bool | None = None
) -> ModelSpan:
    """One call of a model. It is counted in the GenAI metrics also when no span is recorded.

    Args:
        model: The name that the endpoint knows.
        provider: What the endpoint speaks: "openai", ...
        operation: chat or embeddings.
        stream: Whether the answer comes in pieces.
    """
    inner = span(
        f"{operation} {model}",
        kind="client",
        operation=operation,
        provider=provider,
        model=model,
        stream=stream,
        conversation=correlation.current().thread_id if recording() else "",
    )
    return ModelSpan(inner, (operation, provider, model))


class ModelSpan:
    """A model call that is going on. `set(input_tokens=..., output_tokens=...)` counts the tokens."""

    __slots__ = ("_code", "_inner", "_labels", "_started")

    def __init__(self, inner: Span, labels: tuple[str, str, str]) -> None:
        self._inner = inner
        self._labels = labels
        self._code = ""
        self._started = 0.0

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        self._inner.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, stack: object) -> None:
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self._code = "cancelled"
        elif error is not None:
            self._code = code_of(error)
        GENAI_SECONDS.labels(*self._labels, self._code).observe(time.perf_counter() - self._started)
        self._inner.__exit__(kind, error, stack)

    def set(self, **attributes: Value) -> None:
        for kind in ("input", "output"):
            count = attributes.get(f"{kind}_tokens")
            if isinstance(count, int):
                GENAI_TOKENS.labels(*self._labels, kind).observe(count)
        self._inner.set(**attributes)

    def error(self, code: str) -> None:
        self._code = code
        self._inner.error(code)


@contextmanager
def track_duration(operation: str) -> Iterator[None]:
    """Observe how long the block takes, in seconds, with outcome ok or error.

    Args:
        operation: A fixed name such as "llm_call"; never anything a user typed.
    """
    started = time.perf_counter()
    outcome = "error"
    try:
        yield
        outcome = "ok"
    finally:
        DURATION.labels(operation, outcome).observe(time.perf_counter() - started)
