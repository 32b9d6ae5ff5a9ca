"""The spans of a turn, one constructor each, so that nobody else spells names and attributes."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from core import correlation
from core.observability import conventions
from core.observability.metrics import GENAI_SECONDS, GENAI_TOKENS
from core.observability.tracing import Span, Value, code_of, recording, span


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
