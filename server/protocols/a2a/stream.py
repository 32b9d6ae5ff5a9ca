"""A run as the protocol's stream: the task, then what becomes of it, each an answer of JSON-RPC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.foreign import as_bytes
from graph.runs.events import LoggedEvent
from graph.runs.streams import WAITS, Handle
from server.protocols.a2a.tasks import OURS, answer_json, file_json, status_json, task_json
from server.repeats import WithoutRepeats
from server.sse import RunResponse

# Where our events keep what was said.
SAID = "delta"
_TOLD = frozenset({"documents", "tool_call", "tool_progress", "tool_result", "notice"})
_BESIDE = frozenset({"seq", "run_id"})


class TaskStream(RunResponse):
    """The events of a task.

    Args:
        rpc_id: The id of the request.
        base: The service's address.
        history: How many messages the task is told with.
        after: Number of the last event that is not told again.
        form: Writes each in the words of the client's version.
    """

    def __init__(
        self,
        run: Handle,
        *,
        rpc_id: Any,
        base: str,
        history: int | None,
        stall: float,
        after: int = 0,
        form: Callable[[Mapping[str, Any]], Any] = dict,
    ) -> None:
        super().__init__(run, after=after, stall=stall)
        self._rpc_id = rpc_id
        self._base = base
        self._history = history
        self._form = form
        self._begun = False
        # Whether the answer has a piece that the next one is added to.
        self._said = False
        self._files: set[str] = set()
        self._repeats = WithoutRepeats()

    def encoded(self, found: Sequence[LoggedEvent]) -> Iterable[bytes]:
        if not self._begun:
            self._begun = True
            task = task_json(self._run.record, base=self._base, history=self._history, artifacts=False)
            yield self._result({"task": task})
        for entry in found:
            if event := self._repeats.of(entry.event):
                yield from self._of(event)

    def ending(self) -> Iterable[bytes]:
        return ()

    def _of(self, event: Mapping[str, Any]) -> Iterator[bytes]:
        kind = event["type"]
        if kind == "token":
            yield self._answer(str(event[SAID]))
        elif kind == "run_started":
            yield self._status("running", {}, None)
        elif kind == "file":
            yield self._file(event)
        elif kind in _TOLD:
            # What follows a tool is the answer anew.
            self._said = self._said and kind in ("notice", "tool_progress")
            told = {name: value for name, value in event.items() if name not in _BESIDE}
            yield self._status("queued" if event.get("code") == WAITS else "running", {}, None, told)
        elif kind == "done":
            yield from self._done(event)
        elif kind == "error":
            yield self._status("failed", {}, event)

    def _done(self, reply: Mapping[str, Any]) -> Iterator[bytes]:
        if reply["answer"]:
            # Whole, in place of its pieces: of an artifact's pieces some clients (ADK) keep the last alone.
            whole = answer_json(self._run.id, str(reply["answer"]), reply)
            yield self._artifact(whole, append=False, last=True)
        for file in reply["files"]:
            if str(file["key"]) not in self._files:
                yield self._file(file)
        yield self._status(str(reply["status"]), reply, None)

    def _answer(self, text: str) -> bytes:
        append, self._said = self._said, True
        return self._artifact(answer_json(self._run.id, text, {}), append=append)

    def _file(self, file: Mapping[str, Any]) -> bytes:
        self._files.add(str(file["key"]))
        return self._artifact(file_json(file, self._base), append=False, last=True)

    def _artifact(self, artifact: Mapping[str, Any], *, append: bool, last: bool = False) -> bytes:
        told: dict[str, Any] = {**self._names, "artifact": artifact}
        told |= {"append": True} if append else {}
        told |= {"lastChunk": True} if last else {}
        return self._result({"artifactUpdate": told})

    def _status(
        self,
        status: str,
        output: Mapping[str, Any],
        error: Mapping[str, Any] | None,
        told: Mapping[str, Any] | None = None,
    ) -> bytes:
        found = status_json(self._run.id, self._run.thread_id, status, output=output, error=error)
        notes = {"metadata": {OURS: told}} if told else {}
        return self._result({"statusUpdate": {**self._names, "status": found, **notes}})

    @property
    def _names(self) -> dict[str, str]:
        return {"taskId": self._run.id, "contextId": self._run.thread_id}

    def _result(self, result: Mapping[str, Any]) -> bytes:
        found = {"jsonrpc": "2.0", "id": self._rpc_id, "result": self._form(result)}
        return b"data: " + as_bytes(found) + b"\n\n"
