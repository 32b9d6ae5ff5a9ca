"""The stream vocabulary: what a run tells, in order, and the log that keeps it while the run lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

# Fields of each event beside seq, type and run_id.
VOCABULARY: dict[str, frozenset[str]] = {
    "run_started": frozenset({"thread_id", "attempt"}),
    "config": frozenset({"model", "tools", "sources"}),
    "documents": frozenset({"items", "failed"}),
    "token": frozenset({"text"}),
    "reasoning": frozenset({"text"}),
    "tool_call": frozenset({"id", "server", "tool", "arguments"}),
    "tool_progress": frozenset({"id", "progress", "total", "message"}),
    "tool_result": frozenset({"id", "status", "text", "duration_ms", "files"}),
    "interrupt": frozenset({"id", "kind"}),
    "file": frozenset({"key", "name", "media_type", "size"}),
    "usage": frozenset({"input_tokens", "output_tokens", "model", "cost"}),
    "notice": frozenset({"code", "text"}),
    "error": frozenset({"code", "title", "detail", "retryable"}),
    "done": frozenset(
        {"answer", "status", "thread_id", "citations", "files", "tool_calls", "interrupts", "usage"}
    ),
}
LAST = frozenset({"done", "error"})


class EventLog:
    """The events of one run, numbered from 1. Any number of readers, each from where it likes."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    @property
    def closed(self) -> bool:
        return bool(self._events) and self._events[-1]["type"] in LAST

    def add(self, event: dict[str, Any]) -> None:
        """Number the event and wake the readers. After the last event nothing is added."""
        if self.closed:
            return
        self._events.append({"seq": len(self._events) + 1, "run_id": self._run_id, **event})
        self._news.set()
        self._news = asyncio.Event()

    async def read(self, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Every event with a number above `after`, as they come, to the last one."""
        place = after
        while True:
            news = self._news
            while place < len(self._events):
                place += 1
                yield self._events[place - 1]
            if self.closed:
                return
            await news.wait()
